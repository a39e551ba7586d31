//! In: a working graph. Out: [`Plan`]: which SBPL version it was written in, and where the rules of
//! each operation start once those that the compiler adds are taken off. Never: which these are;
//! that is data in `grammar/`.

use super::filters::literal;
use super::working::{Place, Step, TerminalId, Working};
use crate::pattern::order::{Asked, tree_of};
use crate::pattern::{Part, StringKind, StringPattern};
use crate::policy::graph::{Argument, Terminal, Test};
use crate::policy::passes::action_flags;
use crate::policy::rules::{Action, OperationRules, Rules, Tail};
use crate::vocabulary::{ImplicitNode, ImplicitRule, OperationId, Release};

/// Where an operation starts.
#[derive(Clone, Copy)]
pub(super) struct Root {
    /// Its own rules.
    pub rules: Place,
    /// What operations that inherit from it go on to.
    pub children: Place,
}

/// How a profile is to be read.
pub(super) struct Plan {
    pub version: u8,
    /// Whether the compiler adds implicit rules.
    pub implicit: bool,
    /// By operation.
    pub roots: Vec<Root>,
    /// The operations as they are without any rule.
    pub table: Vec<OperationRules>,
}

impl Plan {
    /// The version whose implicit rules are all there and whose table leaves the fewest operations to
    /// say something about; of equals the lowest. Where each version lacks some, the profile was
    /// compiled without them (LANGUAGE.md §7.4).
    pub fn of(working: &mut Working<'_>, base: Option<&[u8]>) -> Self {
        let allows = reaches_allow(working);
        let mut best: Option<(bool, usize, Plan)> = None;
        for version in working.graph.release.versions().to_vec() {
            let (missing, roots) = peeled(working, version, &allows);
            let table = empty_table(working, version, base);
            let implicit = missing == 0;
            let roots = if implicit { roots } else { whole(working) };
            let plain = table
                .iter()
                .zip(&roots)
                .filter(|(entry, root)| match entry.tail {
                    Tail::Parent(parent) => {
                        roots.get(parent.index()).is_some_and(|parent| parent.children == root.rules)
                    }
                    Tail::Table(action) => {
                        working.terminal_at(root.rules).and_then(|id| working.terminals.get(id.index()))
                            == Some(&plain(working.graph.release, action))
                    }
                    Tail::Rule(_) => false,
                })
                .count();
            if best.as_ref().is_none_or(|(known, count, _)| (implicit, plain) > (*known, *count)) {
                best = Some((implicit, plain, Plan { version, implicit, roots, table }));
            }
        }
        match best {
            Some((_, _, plan)) => plan,
            None => Plan { version: 1, implicit: true, roots: whole(working), table: empty_table(working, 1, base) },
        }
    }
}

/// The terminal of an action without modifiers.
pub(super) fn plain(release: &Release, action: Action) -> Terminal {
    Terminal { flags: action_flags(release, action), modifiers: Vec::new() }
}

/// What each operation does in a profile without rules.
fn empty_table(working: &Working<'_>, version: u8, base: Option<&[u8]>) -> Vec<OperationRules> {
    Rules {
        release: working.graph.release,
        version,
        list: Vec::new(),
        base: base.map(<[u8]>::to_vec),
        profile_flags: 0,
        implicit: true,
    }
    .by_operation()
}

fn whole(working: &Working<'_>) -> Vec<Root> {
    working.entries.iter().map(|entry| Root { rules: *entry, children: *entry }).collect()
}

/// Whether each place leads to an allow.
fn reaches_allow(working: &Working<'_>) -> Vec<bool> {
    let mut out: Vec<bool> = Vec::with_capacity(working.steps.len());
    for step in &working.steps {
        let at = |place: &Place| out.get(place.index()).copied().unwrap_or(false);
        let allows = match step {
            Step::Test { yes, no, .. } => at(yes) || at(no),
            Step::Terminal(id) => {
                working.terminals.get(id.index()).is_some_and(|terminal| terminal.action() == Action::Allow)
            }
        };
        out.push(allows);
    }
    out
}

/// The operations without the implicit rules of a version, and how many of these are not there.
fn peeled(working: &mut Working<'_>, version: u8, allows: &[bool]) -> (usize, Vec<Root>) {
    let release = working.graph.release;
    let mut roots = whole(working);
    let mut missing = 0;
    let allow = working.terminal(plain(release, Action::Allow));
    let can_allow = |name: &String| {
        let place = release.operation(name).and_then(|operation| working.entries.get(operation.index()));
        place.is_some_and(|place| allows.get(place.index()).copied().unwrap_or(false))
    };
    let rules: Vec<&ImplicitRule> = release
        .implicit_rules()
        .iter()
        .filter(|rule| rule.versions.contains(&version))
        .filter(|rule| rule.when_allowed.is_empty() || rule.when_allowed.iter().any(can_allow))
        .collect();
    // The one added last is asked first: those with nodes of their own are added behind all others.
    for own in [true, false] {
        for rule in rules.iter().rev().filter(|rule| (rule.node == ImplicitNode::Own) == own) {
            let Some(root) =
                release.operation(&rule.operation).and_then(|OperationId(id)| roots.get_mut(usize::from(id)))
            else {
                continue;
            };
            match peel(working, root.rules, rule, allow) {
                Some(place) => root.rules = place,
                // Nothing is added where everything is allowed.
                None if working.terminal_at(root.rules) == Some(allow) => {}
                None => missing += 1,
            }
            if own {
                root.children = root.rules;
            }
        }
    }
    (missing, roots)
}

/// What stands behind an implicit rule, if it stands there. Its string may have been merged with
/// those of a written rule.
fn peel(working: &mut Working<'_>, place: Place, rule: &ImplicitRule, allow: TerminalId) -> Option<Place> {
    let Step::Test { test, yes, no } = working.at(place) else { return None };
    if working.terminal_at(yes) != Some(allow) {
        return None;
    }
    let asked = working.tests.get(test.index())?;
    if working.graph.release.filter_named(&rule.filter)?.id != asked.filter {
        return None;
    }
    match (&asked.argument, &rule.literal, rule.value) {
        (Argument::Number(number), None, Some(value)) => (*number == value).then_some(no),
        (Argument::Number(number), None, None) => (rule.values == [*number]).then_some(no),
        (Argument::Numbers(numbers) | Argument::Mask { numbers, .. }, None, None) => {
            let mut values = rule.values.clone();
            values.sort_unstable();
            (*numbers == values).then_some(no)
        }
        (Argument::Pattern(tree), Some(text), _) => {
            let mut strings = tree.strings()?;
            let at = strings.iter().position(|(known, prefix)| !prefix && known == text.as_bytes())?;
            strings.remove(at);
            if strings.is_empty() {
                return Some(no);
            }
            let patterns: Vec<StringPattern> = strings
                .into_iter()
                .map(|(text, prefix)| match prefix {
                    true => StringPattern { kind: StringKind::Prefix, parts: vec![Part::Text(text)] },
                    false => StringPattern { parts: vec![Part::Text(text)], ..literal("") },
                })
                .collect();
            let asked_for: Vec<Asked> = patterns.iter().map(Asked::String).collect();
            let rest = tree_of(&asked_for, |_| 0, working.graph.release.programs().saved).ok()?;
            let rest = Test { filter: asked.filter, argument: Argument::Pattern(rest.into()) };
            let test = working.test(&rest);
            Some(working.step(Step::Test { test, yes, no }))
        }
        _ => None,
    }
}
