//! In: a profile of a blob. Out: its SBPL text, and whether that text, compiled, decides every request
//! as the profile does. Never: files; and the check never looks at how the text was made.

use crate::policy::collection::Profile;
use crate::policy::decompile::{DecompileError, decompile};
use crate::policy::equal::{self, Comparison};
use crate::policy::passes::{BuildError, Passes, build};
use crate::policy::rules::Rules;
use crate::sbpl::{self, Budget, Diagnostic};

/// Why a text was not compared with its profile.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The text is no profile.
    #[error("its text does not evaluate: {}", .0.message)]
    Text(Box<Diagnostic>),
    /// The text has no graph.
    #[error("its text does not compile: {0}")]
    Build(#[from] BuildError),
}

/// A profile as text.
#[derive(Clone, Debug)]
pub struct Decompiled {
    /// SBPL, beginning with comments that say what it is of and how it is to be compiled.
    pub text: String,
    /// Its rules.
    pub rules: Rules,
}

/// What a comparison of a text with its profile found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The operations that are not known to be decided alike.
    pub comparison: Comparison,
    /// What else differs, in words: the name of the base, flags of the profile.
    pub other: Vec<String>,
}

impl Verified {
    /// Whether it is sure that the text means what the profile does.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.comparison.is_same() && self.other.is_empty()
    }
}

/// The parameter without which a compiler adds its own rules (LANGUAGE.md §7.4), and the one without
/// which a text that is compiled with parameters has no pattern variables (§4.4).
const WITHOUT_IMPLICIT_RULES: [&str; 2] = ["NO_IMPLICIT_RULES", "ENABLE_PATTERN_VARIABLES"];

/// The text of a profile.
///
/// # Errors
/// [`DecompileError`].
pub fn decompiled(profile: &Profile) -> Result<Decompiled, DecompileError> {
    let rules = decompile(profile)?;
    let release = rules.release;
    let mut text = String::new();
    let mut comment = |line: String| {
        // A name may hold anything, also an end of line.
        text.push_str(";; ");
        text.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
        text.push('\n');
    };
    let name = String::from_utf8_lossy(&profile.name);
    let name = if name.is_empty() { "a profile".to_owned() } else { format!("'{name}'") };
    comment(format!("{name} of {}, decompiled", release.title()));
    if !rules.implicit {
        let options = WITHOUT_IMPLICIT_RULES.map(|name| format!("-D {name}=1")).join(" ");
        comment(format!("it has no implicit rules: compile it with {options}"));
    }
    if let Some(flags) = &profile.flag_set {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        comment(format!("it carries the profile flags {} of its collection, which no SBPL says", flags.join(" ")));
    }
    text.push_str(&sbpl::compose(&rules));
    Ok(Decompiled { text, rules })
}

/// Compiles a text and compares it with the profile that it is of: each operation, over all requests.
///
/// # Errors
/// [`VerifyError`] where the text is no profile.
pub fn verify(profile: &Profile, decompiled: &Decompiled) -> Result<Verified, VerifyError> {
    let graph = &profile.graph;
    let mut options = sbpl::Options::new(graph.release);
    options.stand_ins = false;
    options.budget = Budget { steps: u64::MAX, ..Budget::default() };
    if !decompiled.rules.implicit {
        options.parameters = Some(WITHOUT_IMPLICIT_RULES.map(|name| (name.to_owned(), "1".to_owned())).to_vec());
    }
    let evaluated = sbpl::evaluate("decompiled", decompiled.text.as_bytes(), &options).map_err(VerifyError::Text)?;
    let again = build(&evaluated.rules, Passes::default())?;
    let mut other = Vec::new();
    if evaluated.rules.base != profile.base {
        other.push("the profile that it extends".to_owned());
    }
    if again.flags != graph.flags {
        other.push(format!("profile flags {:#x} and {:#x}", graph.flags, again.flags));
    }
    Ok(Verified { comparison: equal::compare(graph, &again), other })
}
