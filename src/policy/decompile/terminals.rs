//! In: a terminal. Out: the action and modifiers that make it. Never: the rules of message filters;
//! the caller makes those.

use super::DecompileError;
use crate::policy::graph::{self, Terminal};
use crate::policy::passes::action_flags;
use crate::policy::rules::{Action, Modifier, ModifierArgument};
use crate::vocabulary::{Applies, ModifierArgumentKind, Release};

/// The action and the modifiers, those of message filters left out.
pub(super) fn action(release: &Release, terminal: &Terminal) -> Result<(Action, Vec<Modifier>), DecompileError> {
    let action = terminal.action();
    let mut flags = action_flags(release, action);
    let mut modifiers = Vec::new();
    for modifier in &terminal.modifiers {
        if let Some(entry) = release.modifier(modifier.id) {
            flags = (flags & !entry.mask) | entry.set;
        }
        let argument = match &modifier.argument {
            graph::ModifierArgument::Number(number) => ModifierArgument::Number(*number),
            graph::ModifierArgument::Text(text) => ModifierArgument::Text(text.clone()),
            graph::ModifierArgument::MessageFilter { .. } => continue,
        };
        modifiers.push(Modifier { id: modifier.id, argument });
    }
    let wanted = terminal.flags & !Terminal::INLINE;
    // Of modifiers that decide some of the same bits, the one that decides more says it alone.
    let mut entries: Vec<_> = release
        .modifiers()
        .iter()
        .filter(|entry| entry.argument == ModifierArgumentKind::None && entry.mask != 0)
        .collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.mask.count_ones()));
    let mut flag_modifiers = Vec::new();
    for entry in entries {
        let applies = match entry.actions {
            Applies::Both => true,
            Applies::Allow => action == Action::Allow,
            Applies::Deny => action == Action::Deny,
        };
        if applies && wanted & entry.mask == entry.set && flags & entry.mask != entry.set {
            flags = (flags & !entry.mask) | entry.set;
            flag_modifiers.push(Modifier { id: entry.id, argument: ModifierArgument::None });
        }
    }
    if flags != wanted {
        return Err(DecompileError::NoModifier { flags: wanted });
    }
    flag_modifiers.sort_by_key(|modifier| modifier.id);
    flag_modifiers.append(&mut modifiers);
    Ok((action, flag_modifiers))
}
