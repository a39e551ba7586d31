//! In: what the evaluator calls for each `(allow …)` and `(deny …)`. Out: [`Rules`], the flat list
//! in source order, and [`OperationRules`], the per-operation model of LANGUAGE.md §7.1. Never:
//! decisions.

use std::sync::Arc;

use crate::pattern::StringPattern;
use crate::pattern::regex::Expression;
use crate::vocabulary::{FilterId, ModifierId, OperationId, Release, TerminalDefault};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `allow`.
    Allow,
    /// `deny`.
    Deny,
    /// `delegate`: as the profile says that this one extends (FORMAT.md §2.2).
    Delegate,
    /// `autobox`: as the system's autobox profile says.
    Autobox,
}

impl Action {
    /// The name in SBPL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Delegate => "delegate",
            Self::Autobox => "autobox",
        }
    }

    /// Whether it denies where only this profile is asked. What other profiles say is not known
    /// then, so both actions that ask one count as denials: the safe side (chosen).
    #[must_use]
    pub fn denies(self) -> bool {
        self != Self::Allow
    }
}

/// An address of `local` or `remote` (FORMAT.md §3.2): protocol number, host, port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// 4 × transport (0 any, 1 tcp, 2 udp) plus the family mask (1 IPv4, 2 IPv6).
    pub protocol: u8,
    /// Only `localhost`.
    pub localhost: bool,
    /// Only this port; 0 for any.
    pub port: u16,
}

/// The protocol names and their numbers (LANGUAGE.md §5.2).
pub const PROTOCOLS: [(&str, u8); 9] =
    [("ip", 3), ("ip4", 1), ("ip6", 2), ("tcp", 7), ("tcp4", 5), ("tcp6", 6), ("udp", 11), ("udp4", 9), ("udp6", 10)];

impl Address {
    /// Whether traffic of `other`'s kind is covered: `ip` covers everything, `tcp4` only itself.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let family = |protocol: u8| protocol & 3;
        let transport = |protocol: u8| protocol >> 2;
        family(self.protocol) & family(other.protocol) == family(other.protocol)
            && (transport(self.protocol) == 0 || transport(self.protocol) == transport(other.protocol))
            && (!self.localhost || other.localhost)
            && (self.port == 0 || self.port == other.port)
    }
}

/// What a test compares with, as the profile gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// A number, an enum value, a flag.
    Number(u16),
    /// One of several numbers, as one test.
    Numbers(Vec<u16>),
    /// An exact string.
    Text(Vec<u8>),
    /// A string pattern.
    Pattern(StringPattern),
    /// Regular expressions of one filter call: text as written and parsed form.
    Regexes(Vec<(Vec<u8>, Expression)>),
    /// A network address.
    Address(Address),
    /// One of several numbers below a width, as one test.
    Mask {
        /// How many bits the compiled set has.
        width: u16,
        /// The numbers.
        numbers: Vec<u16>,
    },
    /// The name of a state flag.
    StateFlag(Vec<u8>),
    /// The name of a profile flag.
    ProfileFlag(Vec<u8>),
}

/// One question about a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Test {
    /// About what.
    pub filter: FilterId,
    /// Compared with what.
    pub argument: Argument,
}

/// A combination of tests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// One test.
    Test(Test),
    /// All of them; never empty.
    All(Vec<Arc<Filter>>),
    /// One of them; never empty.
    Any(Vec<Arc<Filter>>),
    /// The opposite.
    Not(Arc<Filter>),
}

/// What a modifier carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModifierArgument {
    /// Nothing.
    None,
    /// A number.
    Number(u16),
    /// A string.
    Text(Vec<u8>),
    /// Rules for messages.
    MessageFilter(Arc<Vec<Rule>>),
}

/// A modifier of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Modifier {
    /// Which.
    pub id: ModifierId,
    /// With what.
    pub argument: ModifierArgument,
}

/// A step of the way from the profile to a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// `import "NAME"` or `macro NAME`.
    pub what: String,
    /// Where it was imported or called.
    pub place: Place,
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// File or `<input string>`.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

/// Where a rule comes from. Two rules that differ in this only are equal.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Where it stands; nothing for rules that the compiler adds.
    pub place: Option<Place>,
    /// Its text.
    pub text: String,
    /// Imports and macro calls, innermost first.
    pub via: Vec<Via>,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}

impl std::hash::Hash for Origin {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// One rule as evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// To which operations.
    pub operations: Vec<OperationId>,
    /// When; nothing for always.
    pub filter: Option<Arc<Filter>>,
    /// How.
    pub modifiers: Vec<Modifier>,
    /// Where it comes from.
    pub origin: Arc<Origin>,
}

/// Everything that an evaluated source says.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose vocabulary.
    pub release: &'static Release,
    /// SBPL version in force.
    pub version: u8,
    /// Rules in source order.
    pub list: Vec<Rule>,
    /// Name of the profile that this one extends.
    pub base: Option<Vec<u8>>,
    /// Profile flags set by deprecated modifiers (FORMAT.md §1.7).
    pub profile_flags: u16,
    /// False where the parameter `NO_IMPLICIT_RULES` is set (LANGUAGE.md §7.4).
    pub implicit: bool,
}

/// Where the fall-through of an operation leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// To the rules of this operation.
    Parent(OperationId),
    /// To the action of the rule with this number in [`Rules::list`].
    Rule(usize),
    /// To the table's own action: a terminal operation, or one that the SBPL version allows.
    Table(Action),
}

/// The rules of one operation (LANGUAGE.md §7.1).
#[derive(Clone, Debug)]
pub struct OperationRules {
    /// Numbers of the rules with a filter in [`Rules::list`], newest first.
    pub filtered: Vec<usize>,
    /// What happens when none matches.
    pub tail: Tail,
}

impl Rules {
    /// The rules sorted by operation; one entry for each operation of the release.
    ///
    /// A terminal operation starts with its table action, one that the version allows with allow,
    /// all others with their parent. The children of an operation that the version allows are not
    /// in that list themselves, so a rule on the parent reaches them (LANGUAGE.md §3, chosen).
    #[must_use]
    pub fn by_operation(&self) -> Vec<OperationRules> {
        let mut table: Vec<OperationRules> = self
            .release
            .operations()
            .iter()
            .map(|operation| {
                let extends = self.base.is_some() && operation.id == OperationId::DEFAULT.0;
                let tail = match operation.terminal {
                    // 264 of 266 profiles of iOS 26 that extend another one delegate what they do not
                    // decide (FORMAT.md §1.7, §2.2).
                    _ if extends => Tail::Table(Action::Delegate),
                    Some(TerminalDefault::Allow) => Tail::Table(Action::Allow),
                    Some(TerminalDefault::Deny) => Tail::Table(Action::Deny),
                    None if operation.allowed_in.contains(&self.version) => Tail::Table(Action::Allow),
                    None => {
                        Tail::Parent(self.release.parent(OperationId(operation.id)).unwrap_or(OperationId::DEFAULT))
                    }
                };
                OperationRules { filtered: Vec::new(), tail }
            })
            .collect();
        for (number, rule) in self.list.iter().enumerate() {
            for operation in &rule.operations {
                let Some(entry) = table.get_mut(operation.index()) else { continue };
                match rule.filter {
                    Some(_) => entry.filtered.push(number),
                    None => entry.tail = Tail::Rule(number),
                }
            }
        }
        for entry in &mut table {
            entry.filtered.reverse();
        }
        table
    }

    /// Whether an operation can come out as allowed for some request, going by actions alone
    /// (LANGUAGE.md §7.4: any rule with that action counts).
    #[must_use]
    pub fn can_allow(&self, table: &[OperationRules], operation: OperationId) -> bool {
        let allows = |number: usize| self.list.get(number).is_some_and(|rule| rule.action == Action::Allow);
        let mut current = operation;
        loop {
            let Some(entry) = table.get(current.index()) else { return false };
            if entry.filtered.iter().any(|number| allows(*number)) {
                return true;
            }
            match entry.tail {
                Tail::Rule(number) => return allows(number),
                Tail::Table(action) => return action == Action::Allow,
                Tail::Parent(parent) => current = parent,
            }
        }
    }
}
