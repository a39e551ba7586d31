//! In: [`Rules`]. Out: the [`Graph`] that Apple's compiler makes of them. Never: bytes.
//!
//! The passes, in this order (GRAPH.md §0), each in a file of its own and each to be switched off:
//!
//! | pass | file | evidence |
//! |---|---|---|
//! | tests of loaded values stand behind their loader | `loads` | chosen: a check, no pass |
//! | rules to nodes, newest rule tested first | `lower` | proven (`strict_1`, `sys_sample`) |
//! | thread edges whose test is decided, fold nodes with equal branches | `arena` | folding proven, threading from other releases' blobs |
//! | one object per equal node | `arena` | proven (`strict_1`, `metafilter_any`) |
//! | implicit rules | `implicit` | proven for 14.4.1 except where the grammar says `inferred` |
//! | simple regular expressions as strings | `arena`, by `pattern::lower` | chosen; holds for the iOS 17 and 26 platform blobs |
//! | conjunctions by filter cost | `sort` | one hashed case (`sys_sample`), 946 pairs of macOS 15.2 |
//! | adjacent string tests into one | `merge` | proven (`metafilter_any`, `sys_sample`) |
//! | nodes to the policy graph, strings to trees | `finish` | see `pattern::order` |

mod arena;
mod finish;
mod implicit;
mod loads;
mod lower;
mod merge;
mod sort;

use crate::vocabulary::{self, OperationId, Release};

use super::graph::Graph;
use super::graph::Terminal;
use super::rules::{Action, Filter, Modifier, ModifierArgument, OperationRules, Place, Rule, Rules, Tail};
use arena::{Arena, BuildTerminal, Id};

/// Which passes run. All of them make Apple's graph; the result means the same without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passes {
    /// Skip tests whose outcome is known from the tests before them.
    pub thread: bool,
    /// Sort conjunctions by cost.
    pub sort: bool,
    /// Merge adjacent string tests.
    pub merge: bool,
    /// Make pattern programs of simple regular expressions, where the release does.
    pub lower_regexes: bool,
}

impl Default for Passes {
    fn default() -> Self {
        Self { thread: true, sort: true, merge: true, lower_regexes: true }
    }
}

/// Why rules have no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// More nodes than the arena numbers.
    #[error("the rules need more than {limit} nodes; split the profile or use fewer, wider filters")]
    TooManyNodes {
        /// The limit.
        limit: usize,
    },
    /// A set of strings whose tree would be too deep.
    #[error("more than {limit} strings of one filter branch off from one another")]
    NestedStrings {
        /// The limit.
        limit: usize,
    },
    /// A regular expression that has no automaton.
    #[error("regular expression {text}: {reason}")]
    Regex {
        /// As written.
        text: String,
        /// Why.
        reason: String,
    },
    /// A rule of a message filter for an operation that is about no messages.
    #[error("'{0}' is no message operation; a rule for it has no effect inside a message filter")]
    NoMessageOperation(String),
    /// A message filter among the rules of a message filter.
    #[error("a message filter cannot stand inside another one")]
    NestedMessageFilter,
    /// A test of a loaded value that is asked where nothing is loaded.
    #[error("({filter}) asks about what ({loader}) loads, and must stand behind it in one require-all")]
    NotLoaded {
        /// The filter of the test.
        filter: String,
        /// The filter that loads.
        loader: String,
    },
    /// A rule is at fault, and this is where it stands.
    #[error("{}:{}:{}: {reason}", .place.file, .place.line, .place.column)]
    InRule {
        /// Where the rule stands.
        place: Place,
        /// What is wrong with it.
        reason: Box<BuildError>,
    },
    /// More variables or state flags than a blob can name.
    #[error("more than {limit} {what} in one profile")]
    TooManyNames {
        /// Which.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl BuildError {
    /// Says which rule is at fault, if the rule stands anywhere and no rule is named yet.
    fn in_rule(self, rule: &Rule) -> Self {
        match (&rule.origin.place, self) {
            (Some(place), reason) if !matches!(reason, Self::InRule { .. }) => {
                Self::InRule { place: place.clone(), reason: Box::new(reason) }
            }
            (_, error) => error,
        }
    }
}

/// The graph of a list of rules.
///
/// # Errors
/// [`BuildError`] where a limit is hit.
pub fn build(rules: &Rules, passes: Passes) -> Result<Graph, BuildError> {
    let table = rules.by_operation();
    let mut arena = Arena::new(rules.release, passes);
    let implicit = implicit::applicable(rules, &table);
    let mut roots: Vec<Option<Id>> = vec![None; table.len()];
    for operation in parents_first(&table) {
        let entry = &table[operation.index()];
        let mut root = match entry.tail {
            Tail::Parent(parent) => roots.get(parent.index()).copied().flatten().unwrap_or(Id::DENY),
            Tail::Table(action) => arena.terminal(BuildTerminal::plain(action_flags(rules.release, action)))?,
            Tail::Rule(number) => action(&mut arena, rules, &rules.list[number], false)?,
        };
        root = filtered_rules(&mut arena, rules, entry, root, false)?;
        root = implicit::add_shared(&mut arena, &implicit, operation, root)?;
        roots[operation.index()] = Some(root);
    }
    let mut roots: Vec<Id> = roots.into_iter().map(|root| root.unwrap_or(Id::DENY)).collect();
    implicit::add_own(&mut arena, &implicit, &mut roots)?;
    roots.truncate(rules.release.operation_slots());
    if passes.sort {
        sort::conjunctions(&mut arena, &roots);
    }
    if passes.merge {
        merge::adjacent_strings(&mut arena, &roots);
    }
    finish::graph(&arena, &roots, rules)
}

/// Whether each test of a loaded value in a filter stands behind its loader.
pub(super) fn loads_before(release: &Release, filter: &Filter) -> bool {
    loads::check(release, filter).is_ok()
}

/// Operations in an order in which each comes behind its parent (GRAPH.md R7).
fn parents_first(table: &[OperationRules]) -> Vec<OperationId> {
    let depth = |mut operation: OperationId| {
        let mut depth = 0;
        while let Some(Tail::Parent(parent)) = table.get(operation.index()).map(|entry| entry.tail) {
            operation = parent;
            depth += 1;
            if depth > table.len() {
                break;
            }
        }
        depth
    };
    let mut order: Vec<(usize, OperationId)> = (0..table.len())
        .filter_map(|index| u16::try_from(index).ok())
        .map(|index| (depth(OperationId(index)), OperationId(index)))
        .collect();
    order.sort();
    order.into_iter().map(|(_, operation)| operation).collect()
}

/// Puts the filtered rules of an operation before `root`, oldest first, so that the newest is
/// tested first.
fn filtered_rules(
    arena: &mut Arena,
    rules: &Rules,
    entry: &OperationRules,
    mut root: Id,
    is_message: bool,
) -> Result<Id, BuildError> {
    for number in entry.filtered.iter().rev() {
        let rule = &rules.list[*number];
        let action = action(arena, rules, rule, is_message)?;
        if let Some(filter) = &rule.filter {
            root = lower::rule(arena, filter, *number, action, root).map_err(|error| error.in_rule(rule))?;
        }
    }
    Ok(root)
}

/// The flag bits of an action without modifiers (FORMAT.md §2.2). Where no modifier takes the report
/// from a deny, a deny has none: that of the OS X 10.6 sample is 1.
pub(super) fn action_flags(release: &Release, action: Action) -> u32 {
    let silences = |modifier: &vocabulary::Modifier| modifier.mask & !modifier.set & Terminal::REPORT != 0;
    let reports = release.modifiers().iter().any(silences);
    match action {
        Action::Allow => 0,
        Action::Deny if !reports => Terminal::DENY,
        Action::Deny => Terminal::DENY | Terminal::REPORT,
        Action::Delegate => Terminal::DELEGATE,
        Action::Autobox => Terminal::AUTOBOX,
    }
}

/// The terminal of a rule: its action, the flag bits of its modifiers, and those that carry
/// something (FORMAT.md §2.2). Messages carry no messages: a rule of a message filter has none of
/// its own (chosen; nested ones could also take time without bound).
fn action(arena: &mut Arena, rules: &Rules, rule: &Rule, is_message: bool) -> Result<Id, BuildError> {
    let mut flags = action_flags(rules.release, rule.action);
    let mut carried = Vec::new();
    for Modifier { id, argument } in &rule.modifiers {
        if let Some(entry) = rules.release.modifier(*id) {
            flags = (flags & !entry.mask) | entry.set;
        }
        match argument {
            ModifierArgument::None => {}
            ModifierArgument::Number(number) => carried.push((*id, arena::Carried::Number(*number))),
            ModifierArgument::Text(text) => carried.push((*id, arena::Carried::Text(text.clone()))),
            ModifierArgument::MessageFilter(_) if is_message => {
                return Err(BuildError::NestedMessageFilter.in_rule(rule));
            }
            ModifierArgument::MessageFilter(inner) => {
                let graphs = message_filter(arena, rules, inner).map_err(|error| error.in_rule(rule))?;
                for (operation, entry) in graphs {
                    carried.push((*id, arena::Carried::MessageFilter(operation, entry)));
                }
            }
        }
    }
    arena.terminal(BuildTerminal { flags, carried, own: 0 })
}

/// The graphs of a message filter, one for each operation that its rules name, in order of id
/// (chosen). What no rule decides falls through to the default message filter, which denies
/// (chosen; the one known case names no filter inside).
fn message_filter(arena: &mut Arena, rules: &Rules, inner: &[Rule]) -> Result<Vec<(OperationId, Id)>, BuildError> {
    let Rules { release, version, .. } = *rules;
    // Left out in silence, `(deny default)` in here would leave all messages allowed.
    let foreign = inner
        .iter()
        .flat_map(|rule| &rule.operations)
        .find(|operation| !release.operation_entry(**operation).is_some_and(|entry| entry.message_filter));
    if let Some(operation) = foreign {
        return Err(BuildError::NoMessageOperation(release.operation_name(*operation).into_owned()));
    }
    let inner = Rules { release, version, list: inner.to_vec(), base: None, profile_flags: 0, implicit: false };
    let table = inner.by_operation();
    let mut out = Vec::new();
    for (index, entry) in table.iter().enumerate() {
        let named = !entry.filtered.is_empty() || matches!(entry.tail, Tail::Rule(_));
        let Ok(id) = u16::try_from(index) else { break };
        let operation = OperationId(id);
        if !named {
            continue;
        }
        let mut root = match entry.tail {
            Tail::Rule(number) => action(arena, &inner, &inner.list[number], true)?,
            _ => Id::DENY,
        };
        root = filtered_rules(arena, &inner, entry, root, true)?;
        out.push((operation, root));
    }
    Ok(out)
}
