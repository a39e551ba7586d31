//! In: a matrix and where its files are. Out: [`Run`]: a verdict for every probe, and the
//! artifacts. Never: enforcement, or writing; the caller writes what [`Run`] holds.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::artifacts::{
    DecidedBy, GateFinding, GoldenDecode, GoldenDecodes, Metadata, Preflight, ProbeResult, ProfileResult, RunManifest,
    RuntimeResult,
};
use super::matrix::{ExpectApply, Matrix, Mode, Probe, Profile, Verdict};
use super::policy::Policy;
use super::question::{Question, ask, probed_operation};
use super::shim;
use super::world::World;
use crate::blob::{self, legacy};
use crate::policy::gate;
use crate::policy::passes::{Passes, build};
use crate::sbpl::{self, Diagnostic, Options};

/// Everything that a run produced.
#[derive(Debug)]
pub struct Run {
    /// Results by profile, in the order of the matrix.
    pub results: Vec<(String, ProfileResult)>,
    /// Texts and blobs that were used: file name, bytes.
    pub runtime_profiles: Vec<(String, Vec<u8>)>,
    /// The decode fields of every profile's blob.
    pub golden_decodes: GoldenDecodes,
    /// The run itself.
    pub manifest: RunManifest,
    /// Notes and warnings about profiles.
    pub notes: Vec<Diagnostic>,
    /// Profiles that preflight treated otherwise than expected, in words.
    pub surprises: Vec<String>,
    /// Everything is as expected.
    pub as_expected: bool,
}

/// Why a run cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A profile that the matrix names cannot be read.
    #[error("profile '{id}': {path}: {source}")]
    Missing {
        /// Which profile.
        id: String,
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A profile's text is wrong.
    #[error("profile '{id}' does not evaluate")]
    Source {
        /// Which profile.
        id: String,
        /// What is wrong.
        diagnostic: Box<Diagnostic>,
    },
    /// A profile cannot be compiled or decoded, or a question cannot be asked.
    #[error("profile '{id}': {reason}")]
    Profile {
        /// Which profile.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

/// Runs a matrix. `text` is its bytes, `folder` where its paths start, `name` what it is called.
/// `progress` is called before each profile with its number and id.
///
/// # Errors
/// The first profile that cannot be used; nothing is decided then.
pub fn run(
    matrix: &Matrix,
    text: &[u8],
    folder: &Path,
    name: &str,
    options: &Options,
    mut progress: impl FnMut(usize, &str),
) -> Result<Run, ProbeError> {
    let plan_digest = hex(&Sha256::digest(text));
    let mut prepared = Vec::with_capacity(matrix.profiles.len());
    let mut identity = Sha256::new();
    identity.update(text);
    for (number, (id, profile)) in matrix.profiles.iter().enumerate() {
        progress(number, id);
        let one = Prepared::new(id, profile, folder, options)?;
        identity.update(&one.runtime);
        prepared.push(one);
    }
    let run_id = as_uuid(&identity.finalize());
    let world = World::of(options.release);
    let mut run = Run {
        results: Vec::new(),
        runtime_profiles: Vec::new(),
        golden_decodes: GoldenDecodes { metadata: Metadata { world_id: matrix.world_id.clone() }, decodes: Vec::new() },
        manifest: RunManifest {
            schema_version: "runtime-tools.run_manifest.v0.1",
            run_id: run_id.clone(),
            world_id: matrix.world_id.clone(),
            channel: "direct",
            backend: "evaluator",
            plan_id: name.to_owned(),
            plan_digest,
            dry_run: false,
            stage_used: false,
            release: options.release.name().to_owned(),
            tool_version: env!("CARGO_PKG_VERSION"),
        },
        notes: Vec::new(),
        surprises: Vec::new(),
        as_expected: true,
    };
    for ((id, profile), one) in matrix.profiles.iter().zip(prepared) {
        let result = one.probe(id, profile, &matrix.world_id, &run_id, &world)?;
        let gated = profile.expect_apply == ExpectApply::Gated;
        match (gated, result.status == "blocked") {
            (true, false) => run.surprises.push(format!("{id}: expected to be blocked at preflight, and is not")),
            (false, true) => run.surprises.push(format!("{id}: blocked at preflight, and not expected to be")),
            _ => {}
        }
        run.as_expected &= run.surprises.is_empty() && result.probes.iter().all(|probe| probe.matches != Some(false));
        run.results.push((id.clone(), result));
        run.runtime_profiles.push((one.file_name, one.runtime));
        run.golden_decodes.decodes.push(one.decode);
        for note in one.notes {
            if !run.notes.iter().any(|known| known.message == note.message) {
                run.notes.push(note);
            }
        }
    }
    Ok(run)
}

/// A profile, ready to be asked.
struct Prepared {
    policy: Policy,
    file_name: String,
    runtime: Vec<u8>,
    decode: GoldenDecode,
    notes: Vec<Diagnostic>,
}

impl Prepared {
    fn new(id: &str, profile: &Profile, folder: &Path, options: &Options) -> Result<Self, ProbeError> {
        let path: PathBuf = folder.join(&profile.blob);
        let base = std::fs::File::open(&path).and_then(sbpl::read_limited).map_err(|source| ProbeError::Missing {
            id: id.to_owned(),
            path: path.display().to_string(),
            source,
        })?;
        let fail = |reason: String| ProbeError::Profile { id: id.to_owned(), reason };
        let mut options = options.clone();
        if let Some(parameters) = &profile.params {
            let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            options.parameters = Some(parameters.iter().map(|(name, value)| (name.clone(), text(value))).collect());
        }
        let shown = path.display().to_string();
        let evaluate = |name: &str, text: &[u8]| {
            sbpl::evaluate(name, text, &options)
                .map_err(|diagnostic| ProbeError::Source { id: id.to_owned(), diagnostic })
        };
        let stem = id.replace(':', "_").replace(['/', '\\'], "_");
        let is_blob = blob::is_blob(&base);
        let mut notes = Vec::new();
        // The base text, compiled: what the golden decodes are of.
        let compiled = if is_blob {
            base.clone()
        } else {
            let evaluated = evaluate(&shown, &base)?;
            notes.extend(evaluated.notes);
            let graph = build(&evaluated.rules, Passes::default()).map_err(|error| fail(error.to_string()))?;
            blob::encode(&graph).map_err(|error| fail(error.to_string()))?
        };
        let decoded = blob::decode(&compiled, options.release).map_err(|error| fail(error.to_string()))?;
        let decode = GoldenDecode::new(
            id,
            &profile.blob,
            hex(&Sha256::digest(&compiled)),
            legacy::legacy(&compiled),
            &decoded.header.fields,
        );
        let (policy, file_name, runtime) = if is_blob || profile.mode == Mode::Blob {
            (Policy::of_graph(decoded.graph), format!("{stem}.sb.bin"), compiled)
        } else {
            let mut rules = shim::baseline();
            rules.extend(profile.key_specific_rules.iter().cloned());
            let runtime = shim::append(&base, &rules);
            let file_name = format!("{stem}.runtime.sb");
            let evaluated = evaluate(&format!("runtime_profiles/{file_name}"), &runtime)?;
            let policy = Policy::of_rules(evaluated.rules).map_err(|error| fail(error.to_string()))?;
            (policy, file_name, runtime)
        };
        Ok(Self { policy, file_name, runtime, decode, notes })
    }

    fn preflight(&self, world_id: &str, profile: &Profile) -> Preflight {
        let release = self.policy.release();
        let findings: Vec<GateFinding> = self
            .policy
            .gate()
            .into_iter()
            .map(|finding| GateFinding {
                outer_action: "allow",
                outer_operation: release.operation_name(finding.outer).into_owned(),
                denied_operation: release.operation_name(finding.denied).into_owned(),
            })
            .collect();
        let gated = !findings.is_empty();
        Preflight {
            tool: "sbtool",
            preflight_schema_version: 1,
            world_id: world_id.to_owned(),
            input_kind: if self.file_name.ends_with(".bin") { "sbpl_blob_path" } else { "sbpl_path" },
            input_ref: profile.blob.clone(),
            classification: if gated {
                "likely_apply_gated_for_harness_identity"
            } else {
                "no_known_apply_gate_signature"
            },
            signature: gated.then_some(gate::SIGNATURE),
            findings,
        }
    }

    fn probe(
        &self,
        id: &str,
        profile: &Profile,
        world_id: &str,
        run_id: &str,
        world: &World,
    ) -> Result<ProfileResult, ProbeError> {
        let preflight = self.preflight(world_id, profile);
        let blocked = preflight.signature.is_some();
        let mut probes = Vec::with_capacity(profile.probes.len());
        for probe in &profile.probes {
            probes.push(if blocked { blocked_probe(id, probe) } else { self.one(id, probe, world)? });
        }
        let status = match () {
            () if blocked => "blocked",
            () if probes.iter().all(|probe| probe.matches == Some(true)) => "ok",
            () => "partial",
        };
        Ok(ProfileResult {
            status,
            notes: blocked.then(|| "preflight blocked: known apply-gate signature".to_owned()),
            profile_path: format!("runtime_profiles/{}", self.file_name),
            base_profile_path: profile.blob.clone(),
            preflight: Some(preflight),
            probes,
            schema_version: "runtime-tools.runtime_results.v0.1",
            run_id: run_id.to_owned(),
        })
    }

    fn one(&self, id: &str, probe: &Probe, world: &World) -> Result<ProbeResult, ProbeError> {
        let facts = probe.facts();
        let question =
            Question { operation: probed_operation(&probe.operation), subject: Some(&probe.target), facts: &facts };
        let reply = ask(&self.policy, world, &question).map_err(|error| ProbeError::Profile {
            id: id.to_owned(),
            reason: format!("probe '{}': {error}", probe.name),
        })?;
        let actual = Verdict::from(reply.action());
        let matches = actual == probe.expected;
        let denied = reply.action().denies();
        let decided_by = reply.deciding().map(|check| {
            let rule = check.answer.rule.as_ref();
            let place = rule.and_then(|rule| rule.place.as_ref());
            DecidedBy {
                operation: self.policy.release().operation_name(check.operation).into_owned(),
                subject: check.subject.clone(),
                by: check.answer.by.name(),
                file: place.map(|place| place.file.clone()),
                line: place.map(|place| place.line),
                column: place.map(|place| place.column),
                text: rule.map(|rule| rule.text.clone()),
            }
        });
        Ok(ProbeResult {
            name: probe.name.clone(),
            expectation_id: expectation_id(id, probe),
            operation: probe.operation.clone(),
            path: probe.target.clone(),
            expected: probe.expected,
            actual: Some(actual),
            matches: Some(matches),
            runtime_result: RuntimeResult {
                status: if denied { "errno" } else { "success" },
                errno: denied.then_some(1),
                runtime_result_schema_version: 1,
                failure_stage: denied.then_some("probe"),
                failure_kind: denied.then_some("probe_nonzero_exit"),
            },
            violation_summary: (!matches).then(|| format!("expected {}, got {}", probe.expected.name(), actual.name())),
            command: Vec::new(),
            exit_code: None,
            decided_by,
        })
    }
}

fn expectation_id(id: &str, probe: &Probe) -> String {
    probe.expectation_id.clone().unwrap_or_else(|| format!("{id}:{}", probe.name))
}

fn blocked_probe(id: &str, probe: &Probe) -> ProbeResult {
    ProbeResult {
        name: probe.name.clone(),
        expectation_id: expectation_id(id, probe),
        operation: probe.operation.clone(),
        path: probe.target.clone(),
        expected: probe.expected,
        actual: None,
        matches: None,
        runtime_result: RuntimeResult {
            status: "blocked",
            errno: None,
            runtime_result_schema_version: 1,
            failure_stage: Some("preflight"),
            failure_kind: Some("preflight_apply_gate_signature"),
        },
        violation_summary: None,
        command: Vec::new(),
        exit_code: None,
        decided_by: None,
    }
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest in the shape of the run ids that the artifacts have.
fn as_uuid(digest: &[u8]) -> String {
    let text = hex(digest);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

/// `runtime_results.json`: an object by profile id, in order.
#[must_use]
pub fn results_json(results: &[(String, ProfileResult)]) -> serde_json::Value {
    let entries = results.iter().map(|(id, result)| (id.clone(), to_json(result)));
    serde_json::Value::Object(entries.collect())
}

/// A struct of this module's kind as JSON; they have string keys only, so this cannot fail.
fn to_json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}
