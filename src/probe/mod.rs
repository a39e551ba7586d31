//! The probe harness: expected verdicts, and what really happens.
//!
//! In: a matrix ([`matrix`]) and where its profiles are. Out: a [`record::Record`]: for each probe what the
//! evaluator says, what a kernel did under the profile and without it, at which stage that ended ([`stage`]),
//! and whether it is as expected. [`artifacts`] writes it down. Never: a denial where no profile was in force.
//!
//! ```text
//! matrix → prepared (shim, scan, prediction) → harness → runner processes → observation → stage → record
//!                                                                                             record → artifacts, report
//! ```

pub mod artifacts;
#[cfg(unix)]
pub mod channel;
#[cfg(unix)]
pub mod fixtures;
pub mod gated;
#[cfg(unix)]
pub mod harness;
#[cfg(target_os = "macos")]
pub mod macos;
pub mod matrix;
pub mod observation;
pub mod prepared;
pub mod record;
pub mod report;
#[cfg(unix)]
pub mod runner;
pub mod stage;

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::runtime::hex;
use crate::runtime::world::World;
use crate::sbpl::{Diagnostic, Options};
use matrix::Matrix;
use prepared::Prepared;
use record::{Backend, Channel, ProbeRecord, ProfileRecord, Record};
use stage::{ErrnoSource, Kind, Outcome, Stage};

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

/// What is run, and how.
pub struct Plan<'a> {
    /// The matrix.
    pub matrix: &'a Matrix,
    /// Its bytes.
    pub text: &'a [u8],
    /// Where its paths start.
    pub folder: &'a Path,
    /// What it is called.
    pub name: &'a str,
    /// How its profiles are evaluated.
    pub options: &'a Options,
}

impl Plan<'_> {
    /// SHA-256 of the matrix, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.text))
    }
}

/// Decides a matrix by the evaluator; nothing is run. `progress` is called before each profile with its number
/// and id.
///
/// # Errors
/// The first profile that cannot be used; nothing is decided then.
pub fn evaluate(plan: &Plan<'_>, mut progress: impl FnMut(usize, &str)) -> Result<Record, ProbeError> {
    let (prepared, run_id) = prepare(plan, &mut progress)?;
    let mut record = empty(plan, run_id, Backend::Evaluator);
    for ((id, profile), one) in plan.matrix.profiles.iter().zip(prepared) {
        let world = world(plan, profile);
        let preflight = one.preflight(&plan.matrix.world_id, profile);
        let is_blocked = preflight.signature.is_some();
        let mut probes = Vec::with_capacity(profile.probes.len());
        for probe in &profile.probes {
            let prediction = if is_blocked { None } else { Some(one.predict(id, probe, &world)?) };
            let outcome = match &prediction {
                None => Outcome::failed(Stage::Preflight, Kind::PreflightGate, None),
                Some(prediction) if prediction.verdict == matrix::Verdict::Allow => Outcome::success(),
                Some(prediction) => {
                    let errno = prediction.denials.first().copied().unwrap_or(stage::EPERM);
                    Outcome::denied(Kind::NonzeroExit, errno, ErrnoSource::Evaluator)
                }
            };
            probes.push(ProbeRecord { probe: probe.clone(), prediction, scenario: None, baseline: None, outcome });
        }
        add(&mut record, id, profile, one, preflight, probes);
    }
    Ok(record)
}

/// The paths of a Mac, with the symlinks that fixtures are.
fn world(plan: &Plan<'_>, profile: &matrix::Profile) -> World {
    let fixtures = plan.matrix.fixtures.iter().chain(&profile.fixtures);
    fixtures.fold(World::of(plan.options.release), |world, fixture| match &fixture.symlink {
        Some(target) => world.with_symlink(&fixture.path, target),
        None => world,
    })
}

/// Prepares all profiles; a digest over what is used, which names the run.
fn prepare(plan: &Plan<'_>, progress: &mut impl FnMut(usize, &str)) -> Result<(Vec<Prepared>, String), ProbeError> {
    let mut prepared = Vec::with_capacity(plan.matrix.profiles.len());
    let mut identity = Sha256::new();
    let mut names = std::collections::HashMap::new();
    identity.update(plan.text);
    for (number, (id, profile)) in plan.matrix.profiles.iter().enumerate() {
        progress(number, id);
        let one = Prepared::new(id, profile, plan.folder, plan.options)?;
        // A Mac's file systems do not tell case.
        if let Some(other) = names.insert(one.file_name.to_lowercase(), id) {
            let reason = format!("its runtime profile would have the name of that of '{other}'");
            return Err(ProbeError::Profile { id: id.to_owned(), reason });
        }
        identity.update(&one.runtime);
        prepared.push(one);
    }
    Ok((prepared, as_uuid(&identity.finalize())))
}

fn empty(plan: &Plan<'_>, run_id: String, backend: Backend) -> Record {
    Record {
        matrix: plan.matrix.clone(),
        plan_id: plan.name.to_owned(),
        plan_digest: plan.digest(),
        run_id,
        backend,
        channel: Channel::of_environment(),
        release: plan.options.release.name().to_owned(),
        profiles: Vec::new(),
        apply_preflight: None,
        notes: Vec::new(),
    }
}

fn add(
    record: &mut Record,
    id: &str,
    profile: &matrix::Profile,
    one: Prepared,
    preflight: artifacts::Preflight,
    probes: Vec<ProbeRecord>,
) {
    for note in one.notes {
        if !record.notes.iter().any(|known| known.message == note.message) {
            record.notes.push(note);
        }
    }
    record.profiles.push(ProfileRecord {
        id: id.to_owned(),
        profile: profile.clone(),
        runtime_name: one.file_name,
        runtime: one.runtime,
        decode: one.decode,
        preflight,
        probes,
    });
}

/// A digest in the shape of the run ids that the artifacts have.
fn as_uuid(digest: &[u8]) -> String {
    let text = hex(digest);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}
