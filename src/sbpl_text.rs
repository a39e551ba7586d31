//! In: bytes. Out: the notation of an SBPL string. Never: anything else; it stands on its own
//! because both sides of the waist write strings.

/// A string in the reader's own notation, so that reading it gives the same bytes.
#[must_use]
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                other if other.is_control() && other.is_ascii() => {
                    out.push_str(&format!("\\x{:02x}", other as u32));
                }
                other => out.push(other),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}
