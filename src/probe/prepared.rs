//! In: a profile of a matrix, and where its files are. Out: [`Prepared`]: the text or blob that is used, what
//! the scan before applying finds, and the evaluator's verdicts. Never: anything run, or written.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::artifacts::{DecidedBy, GateFinding, GoldenDecode, Preflight};
use super::matrix::{Driver, Mode, Probe, Profile, Verdict};
use super::record::{PredictedCheck, Prediction};
use super::stage::EPERM;
use super::{ProbeError, gated};
use crate::blob::{self, legacy};
use crate::policy::gate;
use crate::policy::passes::{Passes, build};
use crate::runtime::policy::Policy;
use crate::runtime::question::{Question, QuestionError, Reply, ask, probed_operation};
use crate::runtime::world::World;
use crate::runtime::{hex, shim};
use crate::sbpl::{self, Diagnostic, Options};

/// A profile, ready to be asked and applied.
pub struct Prepared {
    /// Who answers.
    pub policy: Policy,
    /// File name of what is applied.
    pub file_name: String,
    /// What is applied.
    pub runtime: Vec<u8>,
    /// Whether that is a blob.
    pub is_blob: bool,
    /// Its parameters.
    pub parameters: Vec<(String, String)>,
    /// The decode fields of its blob.
    pub decode: GoldenDecode,
    /// Notes and warnings.
    pub notes: Vec<Diagnostic>,
}

impl Prepared {
    /// Reads, shims, evaluates and compiles a profile.
    ///
    /// # Errors
    /// [`ProbeError`]: a file that is missing, a text that is wrong, a blob that is none.
    pub fn new(id: &str, profile: &Profile, folder: &Path, options: &Options) -> Result<Self, ProbeError> {
        let path: PathBuf = folder.join(&profile.blob);
        let base = std::fs::File::open(&path).and_then(sbpl::read_limited).map_err(|source| ProbeError::Missing {
            id: id.to_owned(),
            path: path.display().to_string(),
            source,
        })?;
        let fail = |reason: String| ProbeError::Profile { id: id.to_owned(), reason };
        let mut options = options.clone();
        let mut parameters = Vec::new();
        if let Some(given) = &profile.params {
            let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            parameters = given.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            options.parameters = Some(parameters.clone());
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
        let is_blob = is_blob || profile.mode == Mode::Blob;
        let (policy, file_name, runtime) = if is_blob {
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
        Ok(Self { policy, file_name, runtime, is_blob, parameters, decode, notes })
    }

    /// The scan before applying: shapes that are not applied without an entitlement, through imports and macros,
    /// and digests of blobs that are known not to be (RUNTIME.md part 2, "Apply gate").
    #[must_use]
    pub fn preflight(&self, world_id: &str, profile: &Profile) -> Preflight {
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
        let signature = if !findings.is_empty() {
            Some(gate::SIGNATURE)
        } else if self.is_blob && gated::is_known(&self.runtime) {
            Some(gated::SIGNATURE)
        } else {
            None
        };
        Preflight {
            tool: "sbtool",
            preflight_schema_version: 1,
            world_id: world_id.to_owned(),
            input_kind: if self.is_blob { "sbpl_blob_path" } else { "sbpl_path" },
            input_ref: profile.blob.clone(),
            classification: if signature.is_some() {
                "likely_apply_gated_for_harness_identity"
            } else {
                "no_known_apply_gate_signature"
            },
            signature,
            findings,
        }
    }

    /// What the evaluator says of a probe.
    ///
    /// # Errors
    /// A question that cannot be asked.
    pub fn predict(&self, id: &str, probe: &Probe, world: &World) -> Result<Prediction, ProbeError> {
        let fail = |error: QuestionError| ProbeError::Profile {
            id: id.to_owned(),
            reason: format!("probe '{}': {error}", probe.name),
        };
        let facts = probe.facts();
        let mut checks = Vec::new();
        let is_from_directory = probe.driver == Driver::Openat && probe.operation.starts_with("file");
        let directory = probe.target.rsplit_once('/').filter(|_| is_from_directory).map(|(directory, _)| directory);
        if let Some(directory) = directory {
            let question = Question { operation: "file-read-data", subject: Some(directory), facts: &[] };
            checks.extend(ask(&self.policy, world, &question).map_err(fail)?.checks);
        }
        if !checks.last().is_some_and(|check| check.answer.action.denies()) {
            let operation = probed_operation(&probe.operation);
            let subject = Some(probe.target.as_str()).filter(|target| !target.is_empty());
            let question = Question { operation, subject, facts: &facts };
            checks.extend(ask(&self.policy, world, &question).map_err(fail)?.checks);
        }
        let reply = Reply { checks };
        let release = self.policy.release();
        let decided_by = reply.deciding().map(|check| {
            let rule = check.answer.rule.as_ref();
            let place = rule.and_then(|rule| rule.place.as_ref());
            DecidedBy {
                operation: release.operation_name(check.operation).into_owned(),
                subject: check.subject.clone(),
                by: check.answer.by.name(),
                file: place.map(|place| place.file.clone()),
                line: place.map(|place| place.line),
                column: place.map(|place| place.column),
                text: rule.map(|rule| rule.text.clone()),
            }
        });
        let checks = reply.checks.iter().map(|check| PredictedCheck {
            operation: release.operation_name(check.operation).into_owned(),
            subject: check.subject.clone(),
            is_crossing: check.is_crossing,
            verdict: Verdict::from(check.answer.action),
        });
        let errno = reply.deciding().and_then(|check| check.answer.errno).map(crate::enforce::errno);
        Ok(Prediction {
            verdict: Verdict::from(reply.action()),
            decided_by,
            checks: checks.collect(),
            denials: vec![errno.unwrap_or(EPERM)],
        })
    }
}
