//! In: an [`Automaton`], or the bytes of a v3 regex object. Out: the other (FORMAT.md §5). Never:
//! the text of an expression.

use std::collections::HashMap;

use super::{BlobError, slice, word};
use crate::pattern::regex::{Automaton, State, StateId};
use crate::pattern::tree::Ranges;

/// Bytes before the code: version (big endian), code length.
const HEAD: usize = 6;

/// The object of an automaton, without the length in front of it. `None` where addresses do not
/// fit 16 bits. Layout by the depth-first rule (904 of 918 objects, FORMAT.md §5).
pub(super) fn write(automaton: &Automaton) -> Option<Vec<u8>> {
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
            State::Accept => {
                code.extend([0x15, 0x00]);
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
pub(super) fn read(object: &[u8], base: usize) -> Result<Automaton, BlobError> {
    let field = "regex object";
    let bad = |at: usize, reason: String| BlobError::bad(field, base + at, reason);
    let head = slice(object, field, 0, HEAD)?;
    let version = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if version != 3 {
        return Err(bad(0, format!("version {version}, only 3 can be read")));
    }
    let length = usize::from(word(object, field, 4)?);
    if object.len() != HEAD + length {
        return Err(bad(4, format!("code length {length} does not fit an object of {} bytes", object.len())));
    }
    let code = &object[HEAD..];
    // First pass: instructions by address. Links hold addresses until the second pass.
    let mut instructions: Vec<(usize, Instruction)> = Vec::new();
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
            0x15 => match slice(code, field, at + 1, 1)?[0] {
                0 => (Instruction::State(State::Accept), 2),
                operand => return Err(bad(HEAD + at + 1, format!("accept with operand {operand} is not supported"))),
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
    let by_address: HashMap<usize, usize> =
        instructions.iter().enumerate().map(|(index, (at, _))| (*at, index)).collect();
    // Second pass: states get numbers, jumps are followed away.
    let mut numbers = vec![StateId(0); instructions.len()];
    let mut count = 0;
    for (index, (_, instruction)) in instructions.iter().enumerate() {
        if matches!(instruction, Instruction::State(_)) {
            numbers[index] = StateId(count);
            count += 1;
        }
    }
    // Where each jump leads in the end, once that is known: a jump is followed once.
    let mut ends: Vec<Option<StateId>> = vec![None; instructions.len()];
    let mut resolve = |address: usize| -> Result<StateId, BlobError> {
        let mut address = address;
        let mut way = Vec::new();
        while way.len() <= instructions.len() {
            let index = *by_address.get(&address).ok_or_else(|| {
                bad(
                    HEAD + address.min(code.len()),
                    "a jump or the end of the code leads here, and no instruction starts here".to_owned(),
                )
            })?;
            let end = match (&instructions[index].1, ends[index]) {
                (Instruction::State(_), _) => numbers[index],
                (_, Some(end)) => end,
                (Instruction::Jump(target), None) => {
                    way.push(index);
                    address = *target;
                    continue;
                }
            };
            way.into_iter().for_each(|index| ends[index] = Some(end));
            return Ok(end);
        }
        Err(bad(HEAD + address, "jumps lead in a circle".to_owned()))
    };
    let start = resolve(0)?;
    let mut target = |id: &StateId| resolve(id.index());
    let mut states = Vec::with_capacity(count as usize);
    for (_, instruction) in &instructions {
        if let Instruction::State(state) = instruction {
            states.push(match state {
                State::Byte(byte, next) => State::Byte(*byte, target(next)?),
                State::Any(next) => State::Any(target(next)?),
                State::Start(next) => State::Start(target(next)?),
                State::End(next) => State::End(target(next)?),
                State::Class(ranges, next) => State::Class(ranges.clone(), target(next)?),
                State::Fork(first, second) => State::Fork(target(first)?, target(second)?),
                State::Accept => State::Accept,
            });
        }
    }
    Ok(Automaton { start, states })
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
            code_of("^/aa*/[bcde]/f*"),
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
        }

        #[test]
        fn no_bytes_make_it_panic(code in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut object = vec![0, 0, 0, 3, u8::try_from(code.len()).unwrap_or(0), 0];
            object.extend(code);
            if let Ok(automaton) = read(&object, 0) {
                let _ = automaton.matches(b"/a/b");
            }
        }
    }
}
