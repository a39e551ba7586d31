//! In: texts of others: profiles, targets, what programs print. Out: the same as markup in which every character
//! is seen. Never: a character that changes how the text around it is shown.

use maud::{Markup, Render, html};

/// A text of others. Markup in it is text; control characters and those that turn or hide text are shown by
/// their number.
pub(super) struct Shown<'a>(pub &'a str);

impl Render for Shown<'_> {
    fn render_to(&self, buffer: &mut String) {
        let mut rest = self.0;
        while let Some(at) = rest.find(is_unseen) {
            let (before, from) = rest.split_at(at);
            let mut characters = from.chars();
            let unseen = characters.next().map_or(0, u32::from);
            html! { (before) span.unseen { "\\u{" (format_args!("{unseen:x}")) "}" } }.render_to(buffer);
            rest = characters.as_str();
        }
        rest.render_to(buffer);
    }
}

/// The same where no markup can be.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unseen(character) {
            out.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

/// Controls but line ends and tabs, marks of direction, and characters without width (Unicode, "Default
/// Ignorable" and "Bidi Control").
fn is_unseen(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        other => other.is_control(),
    }
}

/// The start of a text that may be long, at most so many bytes, and what is left out.
pub(super) fn start(text: &str, most: usize) -> Markup {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let kept = text.get(..end).unwrap_or(text);
    let left = text.len() - kept.len();
    html! {
        (Shown(kept))
        @if left > 0 { span.cut { "… " (left) " bytes more" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_seen() {
        let text = "<b>&\"' é \u{202e}txt\u{1b}[0m\u{0}\n";
        assert_eq!(
            Shown(text).render().into_string(),
            "&lt;b&gt;&amp;&quot;' é <span class=\"unseen\">\\u{202e}</span>txt\
             <span class=\"unseen\">\\u{1b}</span>[0m<span class=\"unseen\">\\u{0}</span>\n"
        );
    }

    #[test]
    fn so_in_plain_text() {
        assert_eq!(plain("a\u{202e}\u{0}é\n"), "a\\u{202e}\\u{0}é\n");
    }

    #[test]
    fn a_cut_is_between_characters() {
        assert_eq!(start("aé", 2).into_string(), "a<span class=\"cut\">… 2 bytes more</span>");
        assert_eq!(start("aé", 3).into_string(), "aé");
    }
}
