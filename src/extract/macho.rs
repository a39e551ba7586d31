//! In: bytes of a Mach-O, thin or universal. Out: its images, what of them is data, where addresses lie
//! in the file, symbols by address. Never: more load commands, sections or symbols than are there.

use std::ops::Range;

use goblin::container::Ctx;
use goblin::mach::constants::cputype::get_arch_name_from_types;
use goblin::mach::fat::{FAT_MAGIC, FatArch, SIZEOF_FAT_ARCH, SIZEOF_FAT_HEADER};
use goblin::mach::header::{SIZEOF_HEADER_32, SIZEOF_HEADER_64};
use goblin::mach::load_command::{CommandVariant, LoadCommand, SymtabCommand};
use goblin::mach::parse_magic_and_ctx;
use goblin::mach::segment::Segment;

use super::scan::Found;
use super::{ExtractError, Finding};

/// Universal files whose offsets have 64 bits.
const FAT_MAGIC_64: u32 = 0xcafe_babf;
/// Most images; real files have up to five.
const MOST_IMAGES: usize = 32;
/// Most load commands and sections. A kernelcache of several hundred kexts has some thousand.
const MOST_PARTS: usize = 1 << 16;
/// Most symbols; kernels with all of theirs have some hundred thousand.
const MOST_SYMBOLS: usize = 1 << 24;
/// Longest symbol that is shown.
const MAX_SYMBOL: usize = 256;
/// Section attribute: nothing but instructions.
const PURE_INSTRUCTIONS: u32 = 0x8000_0000;
/// Section types without bytes in the file.
const ZERO_FILL: [u32; 3] = [0x1, 0xc, 0x12];

/// One image of a file.
pub(super) struct Image<'a> {
    pub bytes: &'a [u8],
    pub offset: usize,
    pub architecture: Option<String>,
}

impl Image<'_> {
    /// What was found in the image, with its place in the file.
    pub fn place(&self, binary: &Binary<'_>, found: Found) -> Finding {
        let address = binary.address(found.offset);
        Finding {
            kind: found.kind,
            bytes: found.bytes,
            architecture: self.architecture.clone(),
            section: binary.section(found.offset),
            offset: self.offset + found.offset,
            address,
            symbol: address.and_then(|address| binary.symbol(address)),
            releases: found.releases,
            operations: found.operations,
            profiles: found.profiles,
            unaccounted: found.unaccounted,
            name: found.name,
        }
    }
}

fn damaged(what: &'static str, offset: usize, reason: impl ToString) -> ExtractError {
    ExtractError::Damaged { what, offset, reason: reason.to_string() }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), ExtractError> {
    if count > limit { Err(ExtractError::TooMany { what, count, limit }) } else { Ok(()) }
}

/// The images of a file: one, or those of a universal file.
pub(super) fn images(bytes: &[u8]) -> Result<Vec<Image<'_>>, ExtractError> {
    let big_endian = |offset: usize, length: usize| {
        let raw =
            bytes.get(offset..offset + length).ok_or_else(|| damaged("table of images", offset, "is cut short"))?;
        Ok(raw.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte)))
    };
    let magic = big_endian(0, 4).map_err(|_: ExtractError| ExtractError::Unknown)?;
    let wide = magic == u64::from(FAT_MAGIC_64);
    if !wide && magic != u64::from(FAT_MAGIC) {
        return Ok(vec![Image { bytes, offset: 0, architecture: None }]);
    }
    let count = usize::try_from(big_endian(4, 4)?).unwrap_or(usize::MAX);
    at_most("images", count, MOST_IMAGES)?;
    let mut images = Vec::with_capacity(count);
    for index in 0..count {
        let (kind, offset, size) = if wide {
            let entry = SIZEOF_FAT_HEADER + 32 * index;
            let [cputype, cpusubtype] = [big_endian(entry, 4)?, big_endian(entry + 4, 4)?];
            ((cputype as u32, cpusubtype as u32), big_endian(entry + 8, 8)?, big_endian(entry + 16, 8)?)
        } else {
            let entry = SIZEOF_FAT_HEADER + SIZEOF_FAT_ARCH * index;
            let arch = FatArch::parse(bytes, entry).map_err(|error| damaged("table of images", entry, error))?;
            ((arch.cputype, arch.cpusubtype), u64::from(arch.offset), u64::from(arch.size))
        };
        let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
        let inside = range.and_then(|(start, size)| Some((start, bytes.get(start..start.checked_add(size)?)?)));
        let (offset, image) = inside
            .ok_or_else(|| damaged("image", 0, format!("{size} bytes from {offset} on, the file ends before")))?;
        // The upper byte of the subtype is about pointer authentication's version.
        let name = get_arch_name_from_types(kind.0, kind.1)
            .or_else(|| get_arch_name_from_types(kind.0, kind.1 & 0x00ff_ffff))
            .map_or_else(|| format!("cpu-{}-{}", kind.0, kind.1), str::to_owned);
        images.push(Image { bytes: image, offset, architecture: Some(name) });
    }
    Ok(images)
}

/// A part of the file that is mapped.
struct Part {
    /// `__DATA,__const`, or a segment.
    name: String,
    file: Range<usize>,
    address: u64,
    is_section: bool,
}

/// One Mach-O.
pub(super) struct Binary<'a> {
    pub bytes: &'a [u8],
    pub context: Ctx,
    /// Bytes that are mapped and no instructions; ascending, apart from one another.
    pub data: Vec<Range<usize>>,
    /// Sections of C strings: bytes and address; ascending, apart from one another.
    pub strings: Vec<(Range<usize>, u64)>,
    /// The lowest address that has bytes: what offsets in chained fixups count from.
    pub base: u64,
    parts: Vec<Part>,
    symbol_tables: Vec<SymtabCommand>,
}

/// What load commands say, as it is collected.
#[derive(Default)]
struct Collected {
    parts: Vec<Part>,
    code: Vec<Range<usize>>,
    strings: Vec<(Range<usize>, u64)>,
    symbol_tables: Vec<SymtabCommand>,
    /// Images inside this one: a kernelcache is a set of them.
    entries: Vec<usize>,
    commands: usize,
}

impl<'a> Binary<'a> {
    /// Reads the load commands of an image, and of the images inside it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ExtractError> {
        let mut collected = Collected::default();
        let context = collected.image(bytes, 0)?;
        // Their offsets count from the start of the outer image. They have no entries of their own.
        for entry in std::mem::take(&mut collected.entries) {
            collected.image(bytes, entry)?;
        }
        let Collected { mut parts, code, mut strings, symbol_tables, .. } = collected;
        let mapped = parts.iter().filter(|part| !part.name.starts_with("__LINKEDIT")).map(|part| part.file.clone());
        let data = without(merged(mapped.collect()), &merged(code));
        let base = parts.iter().map(|part| part.address).min().unwrap_or(0);
        parts.sort_by_key(|part| (part.file.start, part.is_section));
        strings.sort_by_key(|(file, _)| file.start);
        let mut end = 0;
        strings.retain(|(file, _)| {
            let is_apart = file.start >= end;
            end = end.max(file.end);
            is_apart
        });
        Ok(Self { bytes, context, data, strings, base, parts, symbol_tables })
    }

    /// The innermost part that a place of the file lies in. Asked once for each thing found.
    fn part(&self, offset: usize) -> Option<&Part> {
        let around = self.parts.iter().filter(|part| part.file.contains(&offset));
        around.max_by_key(|part| (part.is_section, std::cmp::Reverse(part.file.len())))
    }

    /// The segment and section of a place of the file.
    fn section(&self, offset: usize) -> String {
        self.part(offset).map(|part| part.name.clone()).unwrap_or_default()
    }

    /// Where a place of the file is in memory.
    pub fn address(&self, offset: usize) -> Option<u64> {
        let part = self.part(offset)?;
        part.address.checked_add((offset - part.file.start) as u64)
    }

    /// Address ranges of all sections with their places in the file, by address; where two overlap, the first.
    pub fn addresses(&self) -> Vec<(Range<u64>, usize)> {
        let part = |part: &Part| {
            let end = part.address.checked_add(part.file.len() as u64)?;
            part.is_section.then_some((part.address..end, part.file.start))
        };
        let mut parts: Vec<_> = self.parts.iter().filter_map(part).collect();
        parts.sort_by_key(|(range, _)| range.start);
        let mut end = 0;
        parts.retain(|(range, _)| {
            let is_apart = range.start >= end;
            end = end.max(range.end);
            is_apart
        });
        parts
    }

    /// Address ranges of the string sections with their places in the file, by address.
    pub fn string_addresses(&self) -> Vec<(Range<u64>, usize)> {
        let part = |(file, address): &(Range<usize>, u64)| {
            Some((*address..address.checked_add(file.len() as u64)?, file.start))
        };
        let mut parts: Vec<_> = self.strings.iter().filter_map(part).collect();
        parts.sort_by_key(|(range, _)| range.start);
        parts
    }

    /// The first symbol with this address. Names are read for this address only: a table whose entries
    /// share one long name costs nothing.
    fn symbol(&self, address: u64) -> Option<String> {
        let wide = self.context.is_big();
        let size = if wide { 16 } else { 12 };
        for table in &self.symbol_tables {
            let entries = self.bytes.get(table.symoff as usize..)?;
            for entry in entries.chunks_exact(size).take(table.nsyms as usize) {
                let value = self.number(&entry[8..]);
                // Type bits e0 mark entries for debuggers, bits 0e what the value counts from: e is a section.
                if value != address || entry[4] & 0xe0 != 0 || entry[4] & 0x0e != 0x0e {
                    continue;
                }
                let start = (table.stroff as usize).checked_add(self.number(&entry[..4]) as usize)?;
                let text = self.bytes.get(start..)?;
                let name = text[..text.len().min(MAX_SYMBOL)].split(|byte| *byte == 0).next()?;
                if !name.is_empty() && name.iter().all(u8::is_ascii_graphic) {
                    return Some(String::from_utf8_lossy(name).into_owned());
                }
            }
        }
        None
    }

    /// A number of the image's byte order.
    pub fn number(&self, raw: &[u8]) -> u64 {
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        if self.context.le.is_little() { raw.iter().rev().fold(0, add) } else { raw.iter().fold(0, add) }
    }
}

impl Collected {
    /// The load commands of the image whose header is at `start`.
    fn image(&mut self, bytes: &[u8], start: usize) -> Result<Ctx, ExtractError> {
        let (_, context) = parse_magic_and_ctx(bytes, start).map_err(|_| damaged("image", start, "has no header"))?;
        let context = context.ok_or_else(|| match start {
            0 => ExtractError::Unknown,
            _ => damaged("image", start, "has no Mach-O header"),
        })?;
        let header_size = if context.is_big() { SIZEOF_HEADER_64 } else { SIZEOF_HEADER_32 };
        let head = bytes.get(start..start + header_size).ok_or_else(|| damaged("header", start, "is cut short"))?;
        let field = |offset: usize| {
            let raw = [head[offset], head[offset + 1], head[offset + 2], head[offset + 3]];
            let value = if context.le.is_little() { u32::from_le_bytes(raw) } else { u32::from_be_bytes(raw) };
            value as usize
        };
        let (count, size) = (field(16), field(20));
        let mut offset = start + header_size;
        let end = offset.checked_add(size).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| damaged("load commands", offset, format!("{size} bytes, the file ends before")))?;
        self.commands = self.commands.saturating_add(count);
        at_most("load commands", self.commands, MOST_PARTS)?;
        for _ in 0..count {
            let place = offset;
            let command = LoadCommand::parse(&bytes[..end], &mut offset, context.le)
                .map_err(|error| damaged("load command", place, error))?;
            if offset < place + 8 {
                return Err(damaged("load command", place, "has no length"));
            }
            match command.command {
                CommandVariant::Segment32(segment) => {
                    self.segment(bytes, Segment::from_32_lossy(bytes, &segment, place, context), place)?;
                }
                CommandVariant::Segment64(segment) => {
                    self.segment(bytes, Segment::from_64_lossy(bytes, &segment, place, context), place)?;
                }
                CommandVariant::Symtab(table) => {
                    let symbols = self.symbol_tables.iter().map(|table| table.nsyms as usize).sum::<usize>();
                    at_most("symbols", symbols.saturating_add(table.nsyms as usize), MOST_SYMBOLS)?;
                    self.symbol_tables.push(table);
                }
                CommandVariant::FilesetEntry(entry) if start == 0 => {
                    let place = usize::try_from(entry.fileoff).unwrap_or(usize::MAX);
                    self.entries.push(place);
                }
                _ => {}
            }
        }
        Ok(context)
    }

    fn segment(
        &mut self,
        bytes: &[u8],
        segment: Result<Segment<'_>, goblin::error::Error>,
        place: usize,
    ) -> Result<(), ExtractError> {
        let segment = segment.map_err(|error| damaged("segment", place, error))?;
        let name = |raw: &[u8; 16]| String::from_utf8_lossy(raw).trim_end_matches('\0').to_owned();
        let start = usize::try_from(segment.fileoff).unwrap_or(usize::MAX);
        let length = usize::try_from(segment.filesize).unwrap_or(usize::MAX);
        let end = start.checked_add(length).filter(|end| *end <= bytes.len());
        let Some(end) = end else {
            let reason = format!("{} bytes from {start} on, the file ends before", segment.filesize);
            return Err(damaged("segment", place, reason));
        };
        let count = self.parts.len().saturating_add(segment.nsects as usize);
        at_most("sections", count, MOST_PARTS)?;
        // An object file has one segment without a name, and sections of many.
        if start < end {
            let name = name(&segment.segname);
            self.parts.push(Part { name, file: start..end, address: segment.vmaddr, is_section: false });
        }
        for section in segment.into_iter() {
            let (section, _) = section.map_err(|error| damaged("section", place, error))?;
            if ZERO_FILL.contains(&(section.flags & 0xff)) {
                continue;
            }
            let start = section.offset as usize;
            let end = usize::try_from(section.size).ok().and_then(|size| start.checked_add(size));
            let Some(end) = end.filter(|end| *end <= bytes.len()) else {
                let reason = format!("{} bytes from {start} on, the file ends before", section.size);
                return Err(damaged("section", place, reason));
            };
            if start == end {
                continue;
            }
            if section.flags & PURE_INSTRUCTIONS != 0 {
                self.code.push(start..end);
            }
            let (segment, own) = (name(&section.segname), name(&section.sectname));
            // Type 2 is C strings; kexts in a kernelcache may have lost the type.
            if section.flags & 0xff == 2 || own == "__cstring" {
                self.strings.push((start..end, section.addr));
            }
            let name = format!("{segment},{own}");
            self.parts.push(Part { name, file: start..end, address: section.addr, is_section: true });
        }
        Ok(())
    }
}

/// Ranges that overlap or touch made one, ascending.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut out: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// What is in the first ranges and not in the second; both are [`merged`].
fn without(ranges: Vec<Range<usize>>, holes: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut first = 0;
    for range in ranges {
        let mut start = range.start;
        while holes.get(first).is_some_and(|hole| hole.end <= start) {
            first += 1;
        }
        for hole in holes[first..].iter().take_while(|hole| hole.start < range.end) {
            if start < hole.start {
                out.push(start..hole.start);
            }
            start = start.max(hole.end);
        }
        if start < range.end {
            out.push(start..range.end);
        }
    }
    out
}
