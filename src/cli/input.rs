//! In: the options that name a profile. Out: [`Loaded`]: an evaluated source or a decoded blob.
//! Never: results.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::Args;

use super::output::Console;
use super::status::Failure;
use crate::blob::{self, Decoded, EncodeError};
use crate::policy::collection::Profile;
use crate::policy::graph::Graph;
use crate::policy::passes::{BuildError, Passes};
use crate::runtime::limits::{self, CompileError};
use crate::runtime::policy::Policy;
use crate::sbpl::{self, Budget, Diagnostic, Evaluated};
use crate::vocabulary::{DEFAULT_RELEASE, Release, VocabularyError, release_names};

/// `--release`.
#[derive(Args, Clone, Debug)]
pub struct ReleaseOption {
    /// Release whose vocabulary and format are used; 'sbtool releases' lists them
    #[arg(long, value_name = "NAME", default_value = DEFAULT_RELEASE)]
    pub release: String,
    /// A file of operation names; set by verbs that have [`OperationsOption`].
    #[arg(skip)]
    operations: Option<PathBuf>,
}

/// `--operations`.
#[derive(Args, Clone, Debug)]
pub struct OperationsOption {
    /// Names of all operations in the order of their numbers, one a line, in place of the release's: for
    /// blobs of releases whose table is not known. 'sbtool extract' finds such lists
    #[arg(long, value_name = "FILE")]
    operations: Option<PathBuf>,
}

impl OperationsOption {
    /// The release with these operations.
    pub fn on_release(&self, release: &ReleaseOption) -> ReleaseOption {
        ReleaseOption { operations: self.operations.clone(), ..release.clone() }
    }

    /// The options with these operations.
    pub fn on(&self, source: &SourceOptions) -> SourceOptions {
        SourceOptions { release: self.on_release(&source.release), ..source.clone() }
    }
}

impl ReleaseOption {
    /// The release.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn get(&self) -> Result<&'static Release, Failure> {
        match &self.operations {
            None => release(&self.release),
            Some(file) => with_operations(&self.release, file),
        }
    }
}

/// A release with the operations of a file. Made once for each pair, since releases are compared by where
/// they are.
fn with_operations(name: &str, file: &Path) -> Result<&'static Release, Failure> {
    type Made = Vec<(String, PathBuf, &'static Release)>;
    static MADE: Mutex<Made> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((.., known)) = made.iter().find(|(release, path, _)| release == name && path == file) {
        return Ok(known);
    }
    let (title, bytes) = read(&file.display().to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|error| Failure::bad(&title, error))?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    let release = Release::with_operations(name, &names).map_err(|error| match error {
        VocabularyError::Operations { reason } => Failure::bad(&title, reason),
        other => Failure::Usage(other.to_string()),
    })?;
    // It lives as long as the program, as those of grammar files do.
    let release: &'static Release = Box::leak(Box::new(release));
    made.push((name.to_owned(), file.to_owned(), release));
    Ok(release)
}

/// The release of this name.
///
/// # Errors
/// Where there is none of this name.
pub fn release(name: &str) -> Result<&'static Release, Failure> {
    Release::named(name).map_err(|error| match error {
        VocabularyError::UnknownRelease { .. } => Failure::Usage(error.to_string()),
        VocabularyError::Broken { .. } | VocabularyError::Operations { .. } => Failure::Internal(error.to_string()),
    })
}

/// How source is evaluated; spelled as in `sandbox-exec`.
#[derive(Args, Clone, Debug)]
pub struct SourceOptions {
    #[command(flatten)]
    pub release: ReleaseOption,
    /// Set a parameter; may be given again
    #[arg(short = 'D', value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// Folder to look for imports in, before any other; may be given again
    #[arg(short = 'I', value_name = "DIR")]
    pub imports: Vec<PathBuf>,
    /// Entitlements of the process, a JSON object
    #[arg(long, value_name = "FILE.json")]
    pub entitlements: Option<PathBuf>,
    /// Do not fall back to sbtool's own texts for imports that are not here
    #[arg(long)]
    pub no_stand_ins: bool,
    /// The profile of a collection that is meant
    #[arg(long, value_name = "NAME")]
    pub profile_name: Option<String>,
    /// Stop evaluation after this many steps
    #[arg(long, value_name = "N", default_value_t = Budget::default().steps)]
    pub steps: u64,
}

impl SourceOptions {
    /// The same options for another process, which may work in another folder.
    ///
    /// # Errors
    /// A path that is no UTF-8.
    pub fn arguments(&self) -> Result<Vec<String>, Failure> {
        let path = |path: &PathBuf| -> Result<String, Failure> {
            let absolute = std::path::absolute(path)
                .map_err(|source| Failure::NoInput { name: path.display().to_string(), source })?;
            let text = absolute.to_str().map(str::to_owned);
            text.ok_or_else(|| Failure::Usage(format!("{}: not UTF-8", path.display())))
        };
        let mut out = vec![format!("--release={}", self.release.release), format!("--steps={}", self.steps)];
        out.extend(self.parameters.iter().map(|(name, value)| format!("-D{name}={value}")));
        for folder in &self.imports {
            out.push(format!("-I{}", path(folder)?));
        }
        if let Some(file) = &self.entitlements {
            out.push(format!("--entitlements={}", path(file)?));
        }
        out.extend(self.no_stand_ins.then(|| "--no-stand-ins".to_owned()));
        out.extend(self.profile_name.as_ref().map(|name| format!("--profile-name={name}")));
        Ok(out)
    }
}

/// The word of a choice, as on the command line.
pub fn word(choice: impl clap::ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// One profile: a file, standard input, or the text itself.
#[derive(Args, Clone, Debug)]
pub struct ProfileOption {
    /// SBPL text or compiled blob; '-' is standard input
    #[arg(value_name = "PROFILE", required_unless_present = "text", conflicts_with = "text")]
    pub profile: Option<String>,
    /// The text of the profile, in place of PROFILE
    #[arg(short = 'p', value_name = "TEXT")]
    pub text: Option<String>,
}

impl ProfileOption {
    /// The bytes and what messages call them.
    ///
    /// # Errors
    /// Where the input cannot be read.
    pub fn read(&self) -> Result<(String, Vec<u8>), Failure> {
        match (&self.text, &self.profile) {
            (Some(text), _) => Ok(("<input string>".to_owned(), text.clone().into_bytes())),
            (None, Some(profile)) => read(profile),
            (None, None) => Err(Failure::Usage("no profile given".to_owned())),
        }
    }
}

/// Reads a file, or standard input for '-'.
///
/// # Errors
/// Where it cannot be read, or is larger than any profile.
pub fn read(name: &str) -> Result<(String, Vec<u8>), Failure> {
    let fail = |source: io::Error| Failure::NoInput { name: name.to_owned(), source };
    if name == "-" {
        return Ok(("<input file>".to_owned(), sbpl::read_limited(io::stdin().lock()).map_err(fail)?));
    }
    let file = std::fs::File::open(name).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(fail(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok((name.to_owned(), sbpl::read_limited(file).map_err(fail)?))
}

/// A profile of either kind.
pub enum Loaded {
    /// From source.
    Source(Box<Evaluated>),
    /// From a blob: its bytes and what they say.
    Blob(Vec<u8>, Box<Decoded>),
}

impl SourceOptions {
    /// Options of the evaluator.
    ///
    /// # Errors
    /// An unknown release, entitlements that cannot be read.
    pub fn evaluation(&self) -> Result<sbpl::Options, Failure> {
        let mut options = sbpl::Options::new(self.release.get()?);
        if !self.parameters.is_empty() {
            options.parameters = Some(self.parameters.clone());
        }
        options.import_directories.clone_from(&self.imports);
        options.stand_ins = !self.no_stand_ins;
        options.budget = Budget { steps: self.steps, ..Budget::default() };
        if let Some(path) = &self.entitlements {
            let (name, text) = read(&path.display().to_string())?;
            let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| Failure::bad(&name, error))?;
            if !value.is_object() {
                return Err(Failure::bad(name, "entitlements must be a JSON object"));
            }
            options.entitlements = Some(value);
        }
        Ok(options)
    }

    /// Evaluates or decodes a profile; notes go to standard error.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self, (name, bytes): (String, Vec<u8>), console: &Console) -> Result<Loaded, Failure> {
        if blob::is_blob(&bytes) {
            let mut decoded = decode(&name, &bytes, self.release.get()?, console)?;
            if let Some(wanted) = &self.profile_name {
                decoded.graph = self.pick(&name, &decoded, wanted)?.graph.clone();
            }
            return Ok(Loaded::Blob(bytes, Box::new(decoded)));
        }
        let evaluated = sbpl::evaluate(&name, &bytes, &self.evaluation()?).map_err(Failure::Profile)?;
        for note in &evaluated.notes {
            console.diagnostic(note);
        }
        Ok(Loaded::Source(Box::new(evaluated)))
    }

    /// One profile of a collection.
    ///
    /// # Errors
    /// Where it has none of this name.
    pub fn pick<'a>(&self, name: &str, decoded: &'a Decoded, wanted: &str) -> Result<&'a Profile, Failure> {
        if let Some(profile) = decoded.collection.profile(wanted.as_bytes()) {
            return Ok(profile);
        }
        let reason = if decoded.header.is_collection {
            let count = decoded.collection.profiles.len();
            let names: Vec<_> =
                decoded.collection.profiles.iter().map(|profile| String::from_utf8_lossy(&profile.name)).collect();
            let meant = sbpl::nearest(wanted, names.iter().map(AsRef::as_ref));
            let meant = meant.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
            format!("no profile '{wanted}' among the {count} of this collection{meant}")
        } else {
            "is no collection of profiles; leave the profile's name out".to_owned()
        };
        Err(Failure::bad(name, reason))
    }

    /// A profile as a blob: a text is compiled.
    ///
    /// # Errors
    /// As [`SourceOptions::load`], and where the text has no blob.
    pub fn load_blob(&self, input: (String, Vec<u8>), console: &Console) -> Result<(Vec<u8>, Decoded), Failure> {
        let name = input.0.clone();
        match self.load(input, console)? {
            Loaded::Blob(bytes, decoded) => Ok((bytes, *decoded)),
            Loaded::Source(evaluated) => {
                let (bytes, _) = compile(&name, &evaluated, Passes::default())?;
                let decoded = blob::decode(&bytes, evaluated.rules.release)
                    .map_err(|error| Failure::Internal(error.to_string()))?;
                Ok((bytes, decoded))
            }
        }
    }

    /// A profile as something that answers.
    ///
    /// # Errors
    /// As [`SourceOptions::load`].
    pub fn load_policy(&self, input: (String, Vec<u8>), console: &Console) -> Result<Policy, Failure> {
        let name = input.0.clone();
        let loaded = self.load(input, console)?;
        self.policy(&name, loaded)
    }

    /// What was loaded as something that answers.
    ///
    /// # Errors
    /// A collection of which no profile is named, rules without a graph.
    pub fn policy(&self, name: &str, loaded: Loaded) -> Result<Policy, Failure> {
        match loaded {
            Loaded::Blob(_, decoded) if decoded.header.is_collection && self.profile_name.is_none() => {
                let count = decoded.collection.profiles.len();
                let reason = format!("is a collection of {count} profiles; say which one with --profile-name NAME");
                Err(Failure::bad(name, reason))
            }
            Loaded::Blob(_, decoded) => Ok(Policy::of_graph(decoded.graph)),
            Loaded::Source(evaluated) => Policy::of_rules(evaluated.rules).map_err(|error| build_failure(name, error)),
        }
    }
}

/// Decodes a blob by its release, or by another one that it fits where it does not fit that: what
/// the header says wins, with a note (CLI.md).
///
/// # Errors
/// What is wrong with it as a blob of the release that was asked for.
pub fn decode(name: &str, bytes: &[u8], release: &'static Release, console: &Console) -> Result<Decoded, Failure> {
    let error = match blob::decode(bytes, release) {
        Ok(decoded) => return Ok(decoded),
        Err(error) => Failure::bad(name, error),
    };
    // Whoever names the operations means this release and no other.
    if !std::ptr::eq(self::release(release.name())?, release) {
        return Err(error);
    }
    let mut fitting = Vec::new();
    for other in release_names() {
        let other = self::release(other)?;
        if !std::ptr::eq(other, release)
            && let Ok(decoded) = blob::decode(bytes, other)
        {
            fitting.push(decoded);
        }
    }
    // A release whose blobs were at hand before one that is only described.
    fitting.sort_by_key(|decoded| decoded.graph.release.is_from_text_alone());
    let names: Vec<&str> = fitting.iter().map(|decoded| decoded.graph.release.name()).collect();
    let Some((first, others)) = names.split_first() else { return Err(error) };
    let choice = match others {
        [] => String::new(),
        _ => format!("; it fits {} as well, --release decides", others.join(", ")),
    };
    let message = format!("this is no blob of {}, and is read as one of {first}{choice}", release.name());
    console.diagnostic(&Diagnostic::note("other-release", message, name));
    Ok(fitting.swap_remove(0))
}

/// The blob of an evaluated source.
///
/// # Errors
/// Where the rules go over a limit of the format.
pub fn compile(name: &str, evaluated: &Evaluated, passes: Passes) -> Result<(Vec<u8>, Graph), Failure> {
    limits::compile(&evaluated.rules, passes).map_err(|error| compile_failure(name, error))
}

/// Whether an evaluated source can be compiled: its blob is made, where the release has a format,
/// and its graph in any case. What is left out is said.
///
/// # Errors
/// As [`compile`].
pub fn check(name: &str, evaluated: &Evaluated) -> Result<Option<Diagnostic>, Failure> {
    match limits::compile(&evaluated.rules, Passes::default()) {
        Ok(_) => Ok(None),
        Err(CompileError::Encode(EncodeError::UnknownFormat(error))) => {
            let message = format!("not encoded: the binary format of {} is not known to sbtool yet", error.release);
            Ok(Some(Diagnostic::note("not-encoded", message, name)))
        }
        Err(CompileError::Encode(error @ EncodeError::ReadOnly { .. })) => {
            Ok(Some(Diagnostic::note("not-encoded", format!("not encoded: {error}"), name)))
        }
        Err(error) => Err(compile_failure(name, error)),
    }
}

/// An error of compilation, under the name of the rule at fault where it has one.
fn compile_failure(name: &str, error: CompileError) -> Failure {
    match error {
        CompileError::Build(error) => build_failure(name, error),
        CompileError::At { place, reason } => Failure::bad(
            format!("{}:{}:{}", place.file, place.line, place.column),
            format!("{reason}; the rules before this one fit"),
        ),
        CompileError::Encode(error) => Failure::bad(name, error),
    }
}

/// An error of the builder, under the name of the rule at fault where it has one.
fn build_failure(name: &str, error: BuildError) -> Failure {
    match error {
        BuildError::InRule { place, reason } => {
            Failure::bad(format!("{}:{}:{}", place.file, place.line, place.column), reason)
        }
        other => Failure::bad(name, other),
    }
}
