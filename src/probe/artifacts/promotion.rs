//! In: a folder of artifacts, which anybody may have made. Out: [`PromotionPacket`]: whether the run in it may be
//! promoted, and every reason why not (RUNTIME.md part 2, "Promotion"). Never: a file outside the folder, a
//! file of any size read because the index says so, a panic.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::{Component, Path};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::index::IndexEntry;
use super::{INDEX, NAMES, RUN_STATUS};
use crate::runtime::hex;

/// Largest index, manifest or status that is read.
const MAX_JSON: u64 = 16 << 20;

/// Most bytes of artifacts that are read. A run of ten thousand probes has some hundred megabytes.
const MAX_BYTES: u64 = 2 << 30;

/// Why a run may not be promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The harness was under a profile itself.
    AlreadySandboxed,
    /// A harmless profile could not be applied.
    ApplyFailed,
    /// It is not said whether one could.
    ApplyPreflightMissing,
    /// The run failed.
    BundleFailed,
    /// The run is under way, or was killed.
    BundleInProgress,
    /// An artifact is missing.
    BundleIncomplete,
    /// A file is not what the index says, or there is no index.
    BundleIntegrityUnverified,
    /// What the verdicts stand in is missing.
    DecisionStageArtifactsMissing,
    /// There is no manifest.
    ManifestMissing,
    /// The runners did not run from a job of launchd.
    NotCleanChannel,
    /// It is not said how far the run is.
    RunStatusMissing,
}

impl Reason {
    /// The word in the packet.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AlreadySandboxed => "already_sandboxed",
            Self::ApplyFailed => "apply_failed",
            Self::ApplyPreflightMissing => "apply_preflight_missing",
            Self::BundleFailed => "bundle_failed",
            Self::BundleInProgress => "bundle_in_progress",
            Self::BundleIncomplete => "bundle_incomplete",
            Self::BundleIntegrityUnverified => "bundle_integrity_unverified",
            Self::DecisionStageArtifactsMissing => "decision_stage_artifacts_missing",
            Self::ManifestMissing => "manifest_missing",
            Self::NotCleanChannel => "not_clean_channel",
            Self::RunStatusMissing => "run_status_missing",
        }
    }
}

/// Whether a run may be promoted.
#[derive(Clone, Debug, Serialize)]
pub struct PromotionPacket {
    /// `runtime-tools.promotion_packet.v0.2`.
    pub schema_version: &'static str,
    /// Which run, as its manifest says.
    pub run_id: Option<String>,
    /// Which system, as its manifest says.
    pub world_id: Option<String>,
    /// Where the runners ran, as its manifest says.
    pub channel: Option<String>,
    /// Name of the matrix, as its manifest says.
    pub plan_id: Option<String>,
    /// Whether there is no reason against it.
    pub promotable: bool,
    /// Reasons against it, sorted, each once.
    pub reasons: BTreeSet<Reason>,
    /// The same in words, each with what it is about.
    pub details: Vec<Detail>,
}

/// A reason in words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Detail {
    /// Which.
    pub reason: Reason,
    /// What was found.
    pub text: String,
}

#[derive(Default, Deserialize)]
struct Manifest {
    run_id: Option<String>,
    world_id: Option<String>,
    channel: Option<String>,
    plan_id: Option<String>,
    apply_preflight: Option<ManifestPreflight>,
}

#[derive(Deserialize)]
struct ManifestPreflight {
    record: Option<ApplyRecord>,
}

#[derive(Deserialize)]
struct ApplyRecord {
    status: Option<String>,
    apply_ok: Option<bool>,
    sandbox_check_self: Option<SelfCheck>,
}

#[derive(Deserialize)]
struct SelfCheck {
    sandboxed: Option<bool>,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

#[derive(Deserialize)]
struct Index {
    artifacts: Vec<IndexEntry>,
    #[serde(default)]
    missing: Vec<String>,
    status: String,
}

/// Where the verdicts stand.
const DECISIONS: &[&str] = &["runtime_results.json", "runtime_events.normalized.json", "expected_matrix.json"];

/// Applies the rule to a folder. All reasons are found, not the first.
#[must_use]
pub fn judge(folder: &Path) -> PromotionPacket {
    let mut against = Against::default();
    let manifest = read::<Manifest>(folder, "run_manifest.json");
    let manifest = manifest.map_err(|error| against.add(Reason::ManifestMissing, error)).ok();
    if let Some(manifest) = &manifest {
        let channel = manifest.channel.as_deref();
        if channel != Some("launchd_clean") {
            let text = format!("the channel is '{}'", channel.unwrap_or_default());
            against.add(Reason::NotCleanChannel, text);
        }
    }
    match read::<Status>(folder, RUN_STATUS) {
        Ok(status) if status.state == "complete" => {}
        Ok(status) if status.state == "in_progress" => {
            against.add(Reason::BundleInProgress, "the run is under way, or was killed");
        }
        Ok(status) => against.add(Reason::BundleFailed, format!("{RUN_STATUS} says '{}'", status.state)),
        Err(error) => against.add(Reason::RunStatusMissing, error),
    }
    let preflight = manifest.as_ref().and_then(|manifest| manifest.apply_preflight.as_ref()?.record.as_ref());
    judge_preflight(preflight, &mut against);
    match read::<Index>(folder, INDEX) {
        Ok(index) => judge_index(folder, &index, &mut against),
        Err(error) => against.add(Reason::BundleIntegrityUnverified, error),
    }
    for name in DECISIONS {
        if !is_file(&folder.join(name)) {
            against.add(Reason::DecisionStageArtifactsMissing, format!("{name}: no such file"));
        }
    }
    let manifest = manifest.unwrap_or_default();
    PromotionPacket {
        schema_version: super::version::PROMOTION_PACKET,
        run_id: manifest.run_id,
        world_id: manifest.world_id,
        channel: manifest.channel,
        plan_id: manifest.plan_id,
        promotable: against.0.is_empty(),
        reasons: against.0.iter().map(|detail| detail.reason).collect(),
        details: against.0.into_iter().collect(),
    }
}

#[derive(Default)]
struct Against(BTreeSet<Detail>);

impl Against {
    fn add(&mut self, reason: Reason, text: impl ToString) {
        self.0.insert(Detail { reason, text: text.to_string() });
    }
}

fn judge_preflight(record: Option<&ApplyRecord>, against: &mut Against) {
    let Some(record) = record.filter(|record| record.status.as_deref() != Some("not_run")) else {
        return against.add(Reason::ApplyPreflightMissing, "no harmless profile was applied first");
    };
    if record.apply_ok != Some(true) {
        against.add(Reason::ApplyFailed, "a harmless profile could not be applied");
    }
    if record.sandbox_check_self.as_ref().and_then(|check| check.sandboxed) == Some(true) {
        against.add(Reason::AlreadySandboxed, "the harness was under a profile itself");
    }
}

fn judge_index(folder: &Path, index: &Index, against: &mut Against) {
    if index.status == "failed" {
        against.add(Reason::BundleFailed, format!("{INDEX} says 'failed'"));
    }
    for name in &index.missing {
        against.add(Reason::BundleIncomplete, format!("{name}: missing, as {INDEX} says"));
    }
    let listed: BTreeSet<&str> = index.artifacts.iter().map(|entry| entry.path.as_str()).collect();
    for (name, _) in NAMES {
        if !listed.contains(name) {
            against.add(Reason::BundleIncomplete, format!("{name}: not in {INDEX}"));
        }
    }
    let mut left = MAX_BYTES;
    for entry in &index.artifacts {
        if let Err(error) = verify(folder, entry, &mut left) {
            if error.kind() == io::ErrorKind::NotFound {
                against.add(Reason::BundleIncomplete, format!("{}: no such file", entry.path));
            }
            against.add(Reason::BundleIntegrityUnverified, format!("{}: {error}", entry.path));
        }
    }
}

/// Whether a file of the folder has the size and digest that it should.
fn verify(folder: &Path, entry: &IndexEntry, left: &mut u64) -> io::Result<()> {
    let fail = |text: &str| Err(io::Error::other(text.to_owned()));
    let path = Path::new(&entry.path);
    let mut place = folder.to_owned();
    for component in path.components() {
        let Component::Normal(name) = component else { return fail("leads out of the folder") };
        place.push(name);
        if place.symlink_metadata()?.is_symlink() {
            return fail("is a symbolic link, or leads through one");
        }
    }
    if !is_file(&place) {
        return fail("is no file");
    }
    let file = File::open(&place)?;
    if file.metadata()?.len() != entry.file_size {
        return fail("has another size");
    }
    if entry.file_size > *left {
        return fail("is too large to verify");
    }
    *left -= entry.file_size;
    let mut hash = Sha256::new();
    // One byte more than it should have, should it grow.
    let mut bytes = io::BufReader::with_capacity(1 << 16, file.take(entry.file_size.saturating_add(1)));
    loop {
        let part = bytes.fill_buf()?;
        if part.is_empty() {
            break;
        }
        hash.update(part);
        let length = part.len();
        bytes.consume(length);
    }
    if hex(&hash.finalize()) != entry.sha256 { fail("has another digest") } else { Ok(()) }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}

/// JSON of a file of the folder; what is wrong with it in words.
fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, String> {
    let path = folder.join(name);
    let read = || {
        if !path.symlink_metadata()?.is_file() {
            return Err(io::Error::other("is no file"));
        }
        let mut bytes = Vec::new();
        File::open(&path)?.take(MAX_JSON + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_JSON {
            return Err(io::Error::other("is too large"));
        }
        Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("{name}: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{name}: {error}"))
}
