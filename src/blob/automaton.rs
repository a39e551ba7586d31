//! In: an [`Automaton`], or the bytes of a regex object. Out: the other (FORMAT.md §5); version 3
//! both ways, the versions before it are read only. Never: the text of an expression.

mod early;

use super::{BlobError, slice, word};
use crate::pattern::regex::{Automaton, State, StateId};
use crate::pattern::tree::Ranges;

/// Bytes before the code: version (big endian), code length.
const HEAD: usize = 6;

/// The object of an automaton, without the length in front of it. `None` where addresses do not
/// fit 16 bits. Layout by the depth-first rule (FORMAT.md §5), in which a join is a jump if what it
/// leads to has an address, and nothing otherwise: that gives all of the 667 objects at hand, the
/// exceptions of that section among them.
#[must_use]
pub fn write(automaton: &Automaton) -> Option<Vec<u8>> {
    let mut code: Vec<u8> = Vec::new();
    let mut addresses: Vec<Option<u16>> = vec![None; automaton.states.len()];
    // Forks whose second branch is still to be written: operand, branch, its address before.
    let mut pending: Vec<(usize, StateId, Option<u16>)> = Vec::new();
    let mut current = Some(automaton.start);
    loop {
        let Some(id) = current else {
            let Some((operand, branch, before)) = pending.pop() else { break };
            let here = u16::try_from(code.len()).ok()?;
            let known = *addresses.get(branch.index())?;
            let target = match (before, known) {
                (Some(address), _) => {
                    code.push(0x0a);
                    code.extend(address.to_le_bytes());
                    here
                }
                (None, Some(address)) => address,
                (None, None) => {
                    current = Some(branch);
                    here
                }
            };
            code[operand..operand + 2].copy_from_slice(&target.to_le_bytes());
            continue;
        };
        if let Some(address) = *addresses.get(id.index())? {
            code.push(0x0a);
            code.extend(address.to_le_bytes());
            current = None;
            continue;
        }
        addresses[id.index()] = Some(u16::try_from(code.len()).ok()?);
        current = match automaton.states.get(id.index())? {
            State::Byte(byte, next) => {
                code.extend([0x02, *byte]);
                Some(*next)
            }
            State::Any(next) => {
                code.push(0x09);
                Some(*next)
            }
            State::Start(next) => {
                code.push(0x19);
                Some(*next)
            }
            State::End(next) => {
                code.push(0x29);
                Some(*next)
            }
            State::Class(ranges, next) => {
                let count = u8::try_from(ranges.len()).ok().filter(|count| *count <= 15)?;
                code.push(count << 4 | 0x0b);
                code.extend(ranges.iter().flat_map(|(low, high)| [*low, *high]));
                Some(*next)
            }
            State::Fork(first, second) => {
                code.push(0x2f);
                pending.push((code.len(), *second, *addresses.get(second.index())?));
                code.extend([0, 0]);
                Some(*first)
            }
            State::Join(next) => Some(*next),
            State::Accept => {
                code.extend([0x15, 0x00]);
                None
            }
            State::AcceptEmpty => {
                code.extend([0xf5, 0xff]);
                None
            }
        };
    }
    let length = u16::try_from(code.len()).ok()?;
    let mut out = vec![0, 0, 0, 3];
    out.extend(length.to_le_bytes());
    out.extend(code);
    Some(out)
}

enum Instruction {
    State(State),
    Jump(usize),
}

/// The automaton of an object; `base` is its offset in the blob, for messages.
///
/// # Errors
/// Where the object has a form that is not known, or leads to places where there is nothing.
pub fn read(object: &[u8], base: usize) -> Result<Automaton, BlobError> {
    let field = "regex object";
    let bad = |at: usize, reason: String| BlobError::bad(field, base + at, reason);
    let head = slice(object, field, 0, HEAD)?;
    let version = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    match version {
        1 => return early::read_version_1(object, base),
        2 => return early::read_version_2(object, base),
        3 => {}
        _ => return Err(bad(0, format!("version {version}, only 1 to 3 can be read"))),
    }
    let length = usize::from(word(object, field, 4)?);
    if object.len() != HEAD + length {
        return Err(bad(4, format!("code length {length} does not fit an object of {} bytes", object.len())));
    }
    let code = &object[HEAD..];
    // First pass: instructions by address. Links hold addresses until the second pass.
    let mut instructions: Vec<(usize, Instruction)> = Vec::with_capacity(code.len() / 2);
    let mut at = 0;
    let link = |address: usize| StateId(u32::try_from(address).unwrap_or(u32::MAX));
    while at < code.len() {
        let address = |at: usize| word(code, field, at).map(usize::from);
        let (instruction, size) = match code[at] {
            0x02 => (Instruction::State(State::Byte(slice(code, field, at + 1, 1)?[0], link(at + 2))), 2),
            0x09 => (Instruction::State(State::Any(link(at + 1))), 1),
            0x19 => (Instruction::State(State::Start(link(at + 1))), 1),
            0x29 => (Instruction::State(State::End(link(at + 1))), 1),
            0x2f => (Instruction::State(State::Fork(link(at + 3), link(address(at + 1)?))), 3),
            0x0a => (Instruction::Jump(address(at + 1)?), 3),
            end @ (0x15 | 0xf5) => match (end, slice(code, field, at + 1, 1)?[0]) {
                (0x15, 0) => (Instruction::State(State::Accept), 2),
                (0xf5, 0xff) => (Instruction::State(State::AcceptEmpty), 2),
                (_, operand) => {
                    return Err(bad(HEAD + at, format!("accept {end:02x} {operand:02x} is not known")));
                }
            },
            class if class & 0x0f == 0x0b => {
                let size = 2 * usize::from(class >> 4);
                let ranges: Ranges =
                    slice(code, field, at + 1, size)?.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                (Instruction::State(State::Class(ranges, link(at + 1 + size))), 1 + size)
            }
            other => return Err(bad(HEAD + at, format!("opcode 0x{other:02x} is not known"))),
        };
        instructions.push((at, instruction));
        at += size;
    }
    // A place for each byte of the code, which is at most 64 KB.
    let mut by_address: Vec<u16> = vec![u16::MAX; code.len()];
    for (index, (at, _)) in (0..u16::MAX).zip(&instructions) {
        if let Some(place) = by_address.get_mut(*at) {
            *place = index;
        }
    }
    let target = |address: usize| {
        let index = by_address.get(address).copied().filter(|index| *index != u16::MAX);
        index.map(usize::from).ok_or_else(|| {
            bad(
                HEAD + address.min(code.len()),
                "a jump or the end of the code leads here, and no instruction starts here".to_owned(),
            )
        })
    };
    // A jump that something jumps to is a join; another one belongs to the instruction before it.
    let mut is_join = vec![false; instructions.len()];
    for (at, instruction) in &instructions {
        let named = match instruction {
            Instruction::Jump(address) => Some(*address),
            Instruction::State(State::Fork(_, second)) => Some(second.index()),
            Instruction::State(_) => None,
        };
        if let Some(address) = named {
            // An unreachable jump to itself is none.
            is_join[target(address)?] |= address != *at;
        }
    }
    refuse_circles(&instructions, &target, &bad)?;
    // Second pass: states get numbers.
    let mut numbers = Vec::with_capacity(instructions.len());
    let mut count = 0;
    for (index, (_, instruction)) in instructions.iter().enumerate() {
        numbers.push(StateId(count));
        count += u32::from(matches!(instruction, Instruction::State(_)) || is_join[index]);
    }
    // Where an instruction leads: through a plain jump. Nothing jumps to a plain jump, so what it
    // leads to is none.
    let end = |address: usize| -> Result<StateId, BlobError> {
        let index = target(address)?;
        match &instructions[index].1 {
            Instruction::Jump(address) if !is_join[index] => Ok(numbers[target(*address)?]),
            _ => Ok(numbers[index]),
        }
    };
    let to = |id: &StateId| end(id.index());
    let mut states = Vec::with_capacity(count as usize);
    for (index, (_, instruction)) in instructions.iter().enumerate() {
        match instruction {
            Instruction::State(state) => states.push(match state {
                State::Byte(byte, next) => State::Byte(*byte, to(next)?),
                State::Any(next) => State::Any(to(next)?),
                State::Start(next) => State::Start(to(next)?),
                State::End(next) => State::End(to(next)?),
                State::Class(ranges, next) => State::Class(ranges.clone(), to(next)?),
                State::Fork(first, second) => State::Fork(to(first)?, to(second)?),
                State::Join(next) => State::Join(to(next)?),
                State::Accept => State::Accept,
                State::AcceptEmpty => State::AcceptEmpty,
            }),
            Instruction::Jump(address) if is_join[index] => states.push(State::Join(end(*address)?)),
            Instruction::Jump(_) => {}
        }
    }
    Ok(Automaton { start: end(0)?, states })
}

/// Jumps that lead to one another in a circle lead nowhere.
fn refuse_circles(
    instructions: &[(usize, Instruction)],
    target: &impl Fn(usize) -> Result<usize, BlobError>,
    bad: &impl Fn(usize, String) -> BlobError,
) -> Result<(), BlobError> {
    // The walk that came by an instruction, so that each is passed once.
    let mut walks = vec![0; instructions.len()];
    for start in 0..instructions.len() {
        let mut index = start;
        while let (at, Instruction::Jump(address)) = &instructions[index] {
            match walks[index] {
                0 => walks[index] = start + 1,
                walk if walk == start + 1 => return Err(bad(HEAD + at, "jumps lead in a circle".to_owned())),
                _ => break,
            }
            index = target(*address)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::regex::parse;
    use proptest::prelude::*;

    fn code_of(text: &str) -> String {
        let automaton = parse(text.as_bytes()).ok().and_then(|e| Automaton::of(&[e]).ok());
        let bytes = automaton.and_then(|automaton| write(&automaton)).unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// FORMAT.md §5, worked examples 1 and 2.
    #[test]
    fn worked_examples() {
        assert_eq!(
            code_of("^/a/b/c*"),
            "000000031500 19 022f 0261 022f 0262 022f 2f1300 0263 0a0b00 1500".replace(' ', "")
        );
        assert_eq!(
            code_of("^/a+/[bcde]/f*"),
            "000000032200 19 022f 0261 2f0b00 0a0300 022f 4b6262636364646565 022f 2f2000 0266 0a1800 1500"
                .replace(' ', "")
        );
    }

    proptest! {
        #[test]
        fn written_code_reads_back_and_writes_the_same(text in r"\^?(/|a|b|\.|\[ab\]|\(a\|b\)|\(a\|/b\)\*|a\+|b\?|\[\^/\]\+){0,8}\$?") {
            let Ok(expression) = parse(text.as_bytes()) else { return Ok(()) };
            let automaton = Automaton::of(&[expression]).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let bytes = write(&automaton).ok_or_else(|| TestCaseError::fail("not written"))?;
            let back = read(&bytes, 0).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(write(&back), Some(bytes));
            prop_assert_eq!(back, automaton);
        }

        #[test]
        fn no_bytes_make_it_panic(code in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut object = vec![0, 0, 0, 3, u8::try_from(code.len()).unwrap_or(0), 0];
            object.extend(code);
            if let Ok(automaton) = read(&object, 0) {
                let _ = (automaton.matches(b"/a/b"), automaton.expression(), write(&automaton));
            }
        }
    }
}
