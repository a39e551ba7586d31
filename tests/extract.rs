#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! In: Mach-O files that are made here with blobs and names inside. Out: whether `extract` takes out the
//! same bytes, and refuses what is damaged, packed or something else. Never: files of a real system.

use std::time::{Duration, Instant};

use base64::Engine as _;
use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use sbtool::blob::{encode, encode_collection};
use sbtool::extract::{ExtractError, Finding, Kind, extract};
use sbtool::policy::collection::{Collection, Profile};
use sbtool::policy::graph::Graph;
use sbtool::policy::passes::{Passes, build};
use sbtool::sbpl::{self, Options};
use sbtool::vocabulary::{Release, release_names};

mod made;

const TEXT: &str = "(version 1)(deny default)(allow file-read* (subpath \"/usr\") (regex #\"^/c[0-9]+(x|yz)$\"))
    (deny file-write* (with send-signal SIGKILL) (literal \"/b\"))";

fn release(name: &str) -> &'static Release {
    Release::named(name).unwrap()
}

fn with_layout() -> Vec<&'static Release> {
    release_names().into_iter().map(release).filter(|release| release.layout().is_ok()).collect()
}

fn graph(release: &'static Release, text: &str) -> Graph {
    let evaluated = sbpl::evaluate("p.sb", text.as_bytes(), &Options::new(release)).map_err(|d| d.render(false));
    build(&evaluated.unwrap().rules, Passes::default()).unwrap()
}

fn profile(release: &'static Release) -> Vec<u8> {
    encode(&graph(release, TEXT)).unwrap()
}

fn collection(release: &'static Release) -> Vec<u8> {
    let texts = [("one", TEXT), ("two", "(version 1)(allow default)(deny mach-lookup (global-name \"n\"))")];
    let profiles = texts.iter().map(|(name, text)| Profile::new(*name, graph(release, text)));
    encode_collection(&Collection::of(profiles.collect()).unwrap()).unwrap()
}

/// What goes into a Mach-O.
#[derive(Default)]
struct Parts<'a> {
    constants: Vec<(&'a str, Vec<u8>)>,
    strings: Vec<u8>,
    pointers: Vec<u64>,
}

/// A Mach-O with each constant behind seven odd bytes: no place of a blob is aligned.
fn macho(architecture: Architecture, parts: &Parts<'_>) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::MachO, architecture, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    object.append_section_data(text, &profile(release("macos-14.4")), 4);
    let section = object.add_section(b"__DATA".to_vec(), b"__const".to_vec(), SectionKind::ReadOnlyData);
    for (name, bytes) in &parts.constants {
        object.append_section_data(section, &[0xaa; 7], 1);
        let value = object.append_section_data(section, bytes, 1);
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size: 0,
            kind: SymbolKind::Data,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    }
    // Not the end of a pool, nor zeros that could be one.
    object.append_section_data(section, &[0x55; 64], 1);
    let table = object.add_section(b"__DATA".to_vec(), b"__pointers".to_vec(), SectionKind::Data);
    let pointers: Vec<u8> = parts.pointers.iter().flat_map(|pointer| pointer.to_le_bytes()).collect();
    object.append_section_data(table, &pointers, 8);
    let strings = object.add_section(b"__TEXT".to_vec(), b"__cstring".to_vec(), SectionKind::ReadOnlyString);
    object.append_section_data(strings, &parts.strings, 1);
    object.write().unwrap()
}

/// The strings of a program that knows the operations of a release.
fn strings(release: &Release) -> Vec<u8> {
    let mut out = b"failed to do %d\0default\0other\0a b\0".to_vec();
    for operation in release.operations() {
        out.extend(operation.name.as_bytes());
        out.push(0);
    }
    out.extend(b"deny: \"%s\"\0unrelated\0");
    out
}

fn names(release: &Release) -> Vec<u8> {
    release.operations().iter().flat_map(|operation| [operation.name.as_bytes(), b"\n"].concat()).collect()
}

fn of_kind(findings: &[Finding], kind: Kind) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.kind == kind).collect()
}

fn check(file: &[u8], finding: &Finding, expected: &[u8], symbol: &str, release: &Release) {
    let what = format!("{} of {}", finding.kind.name(), release.name());
    assert!(finding.bytes == expected, "{what}: {} bytes, expected {}", finding.bytes.len(), expected.len());
    assert_eq!(&file[finding.offset..finding.offset + expected.len()], expected, "{what}: not at its offset");
    assert!(finding.releases.contains(&release.name()), "{what}: {:?}", finding.releases);
    assert_eq!(finding.symbol.as_deref(), Some(symbol), "{what}");
    assert_eq!(finding.section, "__DATA,__const", "{what}");
    assert_eq!(finding.operations, release.operation_slots(), "{what}");
    assert_eq!(finding.unaccounted, 0, "{what}");
}

#[test]
fn a_thin_file_gives_everything_back() {
    let all = with_layout();
    assert!(all.len() > 3);
    for release in &all {
        let constants = vec![("collection_data", collection(release)), ("platform_profile_data", profile(release))];
        let parts = Parts { constants, strings: strings(release), ..Parts::default() };
        let file = macho(Architecture::Aarch64, &parts);
        let findings = extract(&file, &all).unwrap();
        let [found] = of_kind(&findings, Kind::Collection)[..] else { panic!("{findings:?}") };
        check(&file, found, &parts.constants[0].1, "_collection_data", release);
        assert_eq!(found.profiles, 2);
        let [found] = of_kind(&findings, Kind::Profile)[..] else { panic!("{findings:?}") };
        check(&file, found, &parts.constants[1].1, "_platform_profile_data", release);
        let [found] = of_kind(&findings, Kind::OperationNames)[..] else { panic!("{findings:?}") };
        assert_eq!(String::from_utf8_lossy(&found.bytes), String::from_utf8_lossy(&names(release)));
        assert!(found.releases.contains(&release.name()), "{:?}", found.releases);
        assert!(file[found.offset..].starts_with(b"default\0"));
    }
}

/// The two numbers of a processor, as in <mach/machine.h>.
const X86_64: [u32; 2] = [0x0100_0007, 3];
const ARM64: [u32; 2] = [0x0100_000c, 0];

/// A universal file of images for these processors.
fn universal(images: &[([u32; 2], Vec<u8>)], wide: bool) -> Vec<u8> {
    let mut file = if wide { vec![0xca, 0xfe, 0xba, 0xbf] } else { vec![0xca, 0xfe, 0xba, 0xbe] };
    file.extend(u32::try_from(images.len()).unwrap().to_be_bytes());
    let mut offset = 4096;
    for (processor, image) in images {
        file.extend(processor.iter().flat_map(|number| number.to_be_bytes()));
        if wide {
            file.extend((offset as u64).to_be_bytes());
            file.extend((image.len() as u64).to_be_bytes());
            file.extend([0, 0, 0, 12, 0, 0, 0, 0]);
        } else {
            file.extend(u32::try_from(offset).unwrap().to_be_bytes());
            file.extend(u32::try_from(image.len()).unwrap().to_be_bytes());
            file.extend(12_u32.to_be_bytes());
        }
        offset = (offset + image.len()).next_multiple_of(4096);
    }
    for (_, image) in images {
        file.resize(file.len().next_multiple_of(4096), 0);
        file.extend(image);
    }
    file
}

#[test]
fn a_universal_file_gives_each_image() {
    let all = with_layout();
    let (old, new) = (release("macos-14.4"), release("macos-15.2"));
    let parts = |release| Parts {
        constants: vec![("platform_profile_data", profile(release))],
        strings: strings(release),
        ..Parts::default()
    };
    let images =
        [(X86_64, macho(Architecture::X86_64, &parts(old))), (ARM64, macho(Architecture::Aarch64, &parts(new)))];
    for wide in [false, true] {
        let file = universal(&images, wide);
        let findings = extract(&file, &all).unwrap();
        let [first, second] = of_kind(&findings, Kind::Profile)[..] else { panic!("{findings:?}") };
        check(&file, first, &profile(old), "_platform_profile_data", old);
        check(&file, second, &profile(new), "_platform_profile_data", new);
        let architectures = |finding: &Finding| finding.architecture.clone().unwrap_or_default();
        assert_eq!([architectures(first), architectures(second)], ["x86_64", "arm64"]);
        let lists = of_kind(&findings, Kind::OperationNames);
        let lists: Vec<_> = lists.iter().map(|finding| (architectures(finding), finding.bytes.clone())).collect();
        assert_eq!(lists, [("x86_64".to_owned(), names(old)), ("arm64".to_owned(), names(new))]);
    }
}

#[test]
fn the_table_of_pointers_is_believed_before_the_order_of_strings() {
    let release = release("macos-14.4");
    let file = macho(Architecture::Aarch64, &Parts { strings: strings(release), ..Parts::default() });
    let found = extract(&file, &[release]).unwrap();
    let [list] = of_kind(&found, Kind::OperationNames)[..] else { panic!("{found:?}") };
    // The compiler put two names elsewhere, since other code has them too: the run no longer has them.
    let start = list.address.unwrap();
    let mut text = strings(release);
    let head = "failed to do %d\0default\0other\0a b\0".len() as u64;
    let cstring = start - head;
    let mut addresses = Vec::new();
    let mut place = head;
    for operation in release.operations() {
        addresses.push(cstring + place);
        place += operation.name.len() as u64 + 1;
    }
    let moved = [7_usize, 100];
    for index in moved {
        let name = release.operations()[index].name.as_bytes();
        let at = usize::try_from(addresses[index] - cstring).unwrap();
        text[at] = b'-';
        addresses[index] = cstring + text.len() as u64;
        text.extend(name);
        text.push(0);
    }
    // As pointers, as dyld's 64-bit chained fixups with the next one 8 bytes on, and as offsets of a
    // kernelcache: the place of a table moves nothing in the string section, which comes behind it.
    let forms: [fn(u64) -> u64; 3] = [|plain| plain, |plain| plain | 2 << 51, |plain| plain | 3 << 62];
    for form in forms {
        let write = |shift: u64| {
            let pointers = addresses.iter().map(|address| form(address + shift)).chain([0]).collect();
            macho(Architecture::Aarch64, &Parts { strings: text.clone(), pointers, ..Parts::default() })
        };
        let without = macho(Architecture::Aarch64, &Parts { strings: text.clone(), ..Parts::default() });
        let run_at = |file: &[u8]| extract(file, &[release]).unwrap().iter().find_map(|finding| finding.address);
        assert_ne!(of_kind(&extract(&without, &[release]).unwrap(), Kind::OperationNames)[0].bytes, names(release));
        let shift = run_at(&write(1 << 40)).map_or(0, |address| address - start);
        let found = extract(&write(shift), &[release]).unwrap();
        let [list] = of_kind(&found, Kind::OperationNames)[..] else { panic!("{found:?}") };
        assert_eq!(String::from_utf8_lossy(&list.bytes), String::from_utf8_lossy(&names(release)));
        assert_eq!(list.section, "__DATA,__pointers");
        assert!(list.releases.contains(&"macos-14.4"), "{:?}", list.releases);
    }
}

#[test]
fn an_unknown_list_of_words_is_no_list_of_operations() {
    let mut words = b"default\0".to_vec();
    for word in 0..200 {
        words.extend(format!("word-{word}\0").bytes());
    }
    let file = macho(Architecture::Aarch64, &Parts { strings: words, ..Parts::default() });
    assert_eq!(extract(&file, &with_layout()), Ok(Vec::new()));
}

#[test]
fn what_is_packed_or_something_else_is_told() {
    let all = with_layout();
    let refused = |bytes: &[u8]| extract(bytes, &all).unwrap_err().to_string();
    let mut im4p = vec![0x30, 0x83, 0x12, 0x34, 0x56, 0x16, 0x04];
    im4p.extend(b"IM4P\x16\x04krnl");
    assert!(refused(&im4p).contains("IM4P") && refused(&im4p).contains("unpack it first"));
    assert!(refused(b"complzss\0\0\0\0").contains("LZSS"));
    assert!(refused(b"bvx2\0\0\0\0").contains("LZFSE"));
    assert_eq!(extract(b"", &all), Err(ExtractError::Unknown));
    assert_eq!(extract(b"(version 1)", &all), Err(ExtractError::Unknown));
    assert_eq!(extract(&[0; 4096], &all), Err(ExtractError::Unknown));
}

#[test]
fn a_file_that_is_cut_or_changed_is_an_error_or_less() {
    let all = with_layout();
    let release = release("macos-14.4");
    let constants = vec![("collection_data", collection(release)), ("platform_profile_data", profile(release))];
    let thin = macho(Architecture::Aarch64, &Parts { constants, strings: strings(release), ..Parts::default() });
    let whole = extract(&thin, &all).unwrap().len();
    assert_eq!(whole, 3);
    // The symbol table is at the end; all before it belongs to the segment.
    let mut errors = 0;
    for length in (0..thin.len()).step_by(97).chain(0..400) {
        match extract(&thin[..length], &all) {
            Ok(findings) => assert!(findings.len() <= whole),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 400, "{errors} of the cuts were noticed");
    for place in 0..800 {
        for value in [0, 0x7f, 0xff] {
            let mut changed = thin.clone();
            changed[place] = value;
            // Anything but a panic or a wait.
            let _ = extract(&changed, &all);
        }
    }
    let mut many = universal(&[(ARM64, thin)], false);
    many[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(extract(&many, &all), Err(ExtractError::TooMany { what: "images", .. })));
    many[4..8].copy_from_slice(&1_u32.to_be_bytes());
    many[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(extract(&many, &all), Err(ExtractError::Damaged { what: "image", .. })));
}

#[test]
#[ignore = "timed: cargo test --release --test extract -- --ignored"]
fn large_sections_of_nothing_take_seconds() {
    let all = with_layout();
    let head = [0x00, 0x80, 0x02, 0x00, 0xbe, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let patterns: [&[u8]; 5] = [&[0], &[0x00, 0x80], &[0xbe, 0], &head, &[0xbe]];
    for pattern in patterns {
        let data: Vec<u8> = pattern.iter().copied().cycle().take(100 << 20).collect();
        let file = macho(Architecture::Aarch64, &Parts { constants: vec![("data", data)], ..Parts::default() });
        let start = Instant::now();
        assert_eq!(extract(&file, &all), Ok(Vec::new()), "{pattern:?}");
        assert!(start.elapsed() < Duration::from_secs(20), "{pattern:?}: {:?}", start.elapsed());
        println!("100 MB of {pattern:02x?}: {:?}", start.elapsed());
    }
}

#[test]
fn places_that_look_like_profiles_and_are_none_are_given_up() {
    // A profile whose last object is bad, over and over: each is read nearly to its end.
    let release = release("macos-14.4");
    let mut text = "(version 1)(deny default)".to_owned();
    for number in 0..4000 {
        text.push_str(&format!("(allow mach-lookup (require-all (global-name \"n{number}\") (socket-type {number})))"));
    }
    let mut blob = encode(&graph(release, &text)).unwrap();
    assert!(usize::from(u16::from_le_bytes([blob[2], blob[3]])) > 4000, "the test is about many nodes");
    let last = blob.len() - 8;
    blob[last..].fill(0xff);
    let count = (200 << 20) / blob.len();
    let file =
        macho(Architecture::Aarch64, &Parts { constants: vec![("data", blob.repeat(count))], ..Parts::default() });
    let start = Instant::now();
    assert!(matches!(extract(&file, &with_layout()), Err(ExtractError::TooMuchWork { .. })));
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn a_property_list_of_a_container_has_its_profile() {
    let release = release("macos-14.4");
    let blob = profile(release);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&blob);
    let list = |element: &str, key: &str, data: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>Other</key><array>\
             <data>AAAA</data></array><key>{key}</key><{element}>{data}</{element}></dict></plist>"
        )
        .into_bytes()
    };
    for element in ["data", "string"] {
        let found = extract(&list(element, "SandboxProfileData", &encoded), &with_layout()).unwrap();
        let [found] = &found[..] else { panic!("{found:?}") };
        assert_eq!((found.kind, &found.bytes, found.unaccounted), (Kind::Profile, &blob, 0));
        assert_eq!(found.section, "SandboxProfileData");
        assert!(found.releases.contains(&"macos-14.4"));
    }
    let mut value = plist::Dictionary::new();
    value.insert("SandboxProfileData".to_owned(), plist::Value::Data(blob.clone()));
    let mut binary = Vec::new();
    plist::Value::Dictionary(value).to_writer_binary(&mut binary).unwrap();
    assert_eq!(extract(&binary, &[release]).unwrap()[0].bytes, blob);

    let refused = |bytes: &[u8]| extract(bytes, &[release]).unwrap_err();
    assert_eq!(refused(&list("data", "Another", &encoded)), ExtractError::NoProfileData);
    assert!(matches!(
        refused(&list("data", "SandboxProfileData", "AAAA")),
        ExtractError::BadProfileData { length: 3, .. }
    ));
    assert!(matches!(refused(&list("string", "SandboxProfileData", "???")), ExtractError::PropertyList(_)));
    assert!(matches!(refused(b"<?xml version=\"1.0\"?><plist><dict></array></plist>"), ExtractError::PropertyList(_)));
    let deep = format!("<plist>{}", "<array>".repeat(2_000_000));
    assert!(matches!(refused(deep.as_bytes()), ExtractError::TooMany { .. } | ExtractError::PropertyList(_)));
}

#[test]
fn blobs_of_real_systems_come_back_whole() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle/blobs");
    if !folder.is_dir() {
        println!("skipped: no {}", folder.display());
        return;
    }
    for (file, kind, name) in [
        ("ios13_collection.bin", Kind::Collection, "ios-13"),
        ("ios17_platform.bin", Kind::Profile, "ios-17"),
        ("ios26_platform.bin", Kind::Profile, "ios-26"),
    ] {
        let blob = std::fs::read(folder.join(file)).unwrap();
        let parts = Parts { constants: vec![("platform_profile_data", blob.clone())], ..Parts::default() };
        let image = macho(Architecture::Aarch64, &parts);
        let start = Instant::now();
        let findings = extract(&image, &with_layout()).unwrap();
        println!("{file}: {:?}, {:?}", start.elapsed(), findings[0].releases);
        let [found] = of_kind(&findings, kind)[..] else { panic!("{file}: {} findings", findings.len()) };
        check(&image, found, &blob, "_platform_profile_data", release(name));
        assert_eq!(findings.len(), 1, "{file}");
    }
}

// ---------------------------------------------------------------------------------------------
// iOS 4 to 8: profiles without a number of operations, by pointers and sizes.

/// Sections of a thin Mach-O: name, address.
fn addresses(file: &[u8]) -> Vec<(String, u64)> {
    let number = |at: usize, width: usize| file[at..at + width].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    let word = |at: usize| usize::try_from(number(at, 4)).unwrap();
    let wide = word(0) == 0xfeed_facf;
    let (mut at, mut out) = (if wide { 32 } else { 28 }, Vec::new());
    for _ in 0..word(16) {
        let (kind, size) = (word(at), word(at + 4));
        // LC_SEGMENT and LC_SEGMENT_64 of <mach-o/loader.h>.
        let (head, section, width) = if kind == 0x19 { (72, 80, 8) } else { (56, 68, 4) };
        if kind == 0x19 || kind == 0x1 {
            for index in 0..word(at + head - 8) {
                let start = at + head + section * index;
                let name = String::from_utf8_lossy(&file[start..start + 16]).trim_end_matches('\0').to_owned();
                out.push((name, number(start + 32, width)));
            }
        }
        at += size;
    }
    out
}

/// What a sandboxd of that time has: profiles, pairs of pointer and size, pointers to pairs, names,
/// pointers to names.
struct Old<'a> {
    profiles: &'a [(&'a str, Vec<u8>)],
    /// Whether there is an array of pointers to pairs.
    pointed_to: bool,
    /// Whether the array of names has the length of the other one, or lies in front of it in a longer one.
    exact: bool,
}

fn old_macho(architecture: Architecture, old: &Old<'_>) -> Vec<u8> {
    let width = if architecture == Architecture::Aarch64 || architecture == Architecture::X86_64 { 8 } else { 4 };
    let make = |sections: &[(String, u64)]| {
        let base = |name: &str| sections.iter().find(|(known, _)| known == name).map_or(0, |(_, address)| *address);
        let array =
            |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()[..width].to_vec()).collect::<Vec<u8>>();
        // Nothing lies at address 0 in a file that runs.
        let (mut blobs, mut places) = (vec![0x77; 8], Vec::new());
        for (_, bytes) in old.profiles {
            blobs.resize(blobs.len().next_multiple_of(8), 0x77);
            places.push((base("__profiles") + blobs.len() as u64, bytes.len() as u64));
            blobs.extend(bytes);
        }
        // The pairs lie in another order than the names.
        let order: Vec<usize> = (0..places.len()).rev().collect();
        let in_order: Vec<usize> = if old.pointed_to { order } else { (0..places.len()).collect() };
        let pairs: Vec<u64> = in_order.iter().flat_map(|index| [places[*index].0, places[*index].1]).collect();
        let pair = |index: usize| {
            let place = in_order.iter().position(|known| *known == index).unwrap();
            base("__data") + (16 + 2 * place * width) as u64
        };
        let mut strings = b"not a name: %d\n\0first\0".to_vec();
        let first = base("__cstring") + 16;
        let mut names = if old.exact { Vec::new() } else { vec![first, first] };
        for (name, _) in old.profiles {
            names.push(base("__cstring") + strings.len() as u64);
            strings.extend(name.bytes().chain([0]));
        }
        let mut constants = names;
        if old.exact {
            constants.extend([0, 0]);
        }
        if old.pointed_to {
            constants.extend((0..places.len()).map(pair));
        }
        constants.push(0);
        let mut object = Object::new(BinaryFormat::MachO, architecture, Endianness::Little);
        let mut add = |segment: &[u8], name: &[u8], kind, bytes: &[u8]| {
            let section = object.add_section(segment.to_vec(), name.to_vec(), kind);
            object.append_section_data(section, bytes, 8);
        };
        add(b"__DATA", b"__profiles", SectionKind::Data, &blobs);
        add(b"__DATA", b"__data", SectionKind::Data, &[vec![0x11; 16], array(&pairs)].concat());
        add(b"__DATA", b"__const", SectionKind::Data, &array(&constants));
        add(b"__TEXT", b"__cstring", SectionKind::ReadOnlyString, &strings);
        object.write().unwrap()
    };
    // Addresses depend on lengths only.
    let first = make(&[]);
    let file = make(&addresses(&first));
    assert_eq!(addresses(&first), addresses(&file));
    file
}

#[test]
fn profiles_of_ios_8_come_back_with_their_names() {
    let all: Vec<_> = release_names().into_iter().map(release).filter(|release| release.reads_blobs()).collect();
    let nodes = |flags| {
        [made::Made::Test(0x06, made::Value::Object(0), 1, 2), made::Made::Terminal(flags), made::Made::Terminal(5)]
    };
    let one = |flags: u16, text: &str| {
        let starts: [(&str, usize); 1] = [("mach-lookup", 0)];
        made::blob(release("ios-8.4"), false, &[(0, flags, &starts)], &nodes(0), &[made::string(0, text)], &[])
    };
    let profiles = [
        ("com.apple.sandboxd", one(1, "com.apple.a")),
        ("container", one(0, "com.apple.bc")),
        ("MobileSafari", one(2, "com.apple.def")),
    ];
    for architecture in [Architecture::Arm, Architecture::I386, Architecture::Aarch64, Architecture::X86_64] {
        for (pointed_to, exact) in [(true, true), (true, false), (false, true), (false, false)] {
            let what = format!("{architecture:?} {pointed_to} {exact}");
            let file = old_macho(architecture, &Old { profiles: &profiles, pointed_to, exact });
            let findings = extract(&file, &all).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = of_kind(&findings, Kind::Profile);
            assert_eq!(found.len(), profiles.len(), "{what}: {findings:?}");
            // A longer array that is no neighbour of the other one could be any.
            let named = pointed_to || exact;
            for ((name, bytes), finding) in profiles.iter().zip(found) {
                assert!(finding.bytes == *bytes, "{what}: {name}");
                assert_eq!(&file[finding.offset..finding.offset + bytes.len()], bytes, "{what}: {name}");
                assert_eq!(finding.name.as_deref(), named.then_some(*name), "{what}");
                assert_eq!((finding.section.as_str(), finding.unaccounted), ("__DATA,__profiles", 0), "{what}");
                assert!(finding.releases.contains(&"ios-8.4"), "{what}: {:?}", finding.releases);
            }
            // Releases whose blobs have a head of their own are not meant.
            assert_eq!(extract(&file, &with_layout()), Ok(Vec::new()), "{what}");
        }
    }
}

#[test]
fn pairs_of_a_file_that_is_changed_are_found_or_not() {
    let bytes = made::from_the_text_alone();
    let profiles: Vec<(&str, Vec<u8>)> = bytes.iter().map(|(name, bytes)| (*name, bytes.clone())).take(4).collect();
    let all: Vec<_> = release_names().into_iter().map(release).filter(|release| release.reads_blobs()).collect();
    let file = old_macho(Architecture::Arm, &Old { profiles: &profiles, pointed_to: true, exact: true });
    let whole = of_kind(&extract(&file, &all).unwrap(), Kind::Profile).len();
    assert_eq!(whole, 4);
    let mut changed = 0;
    for at in (0..file.len()).step_by(3) {
        let mut copy = file.clone();
        copy[at] ^= 0x41;
        if let Ok(findings) = extract(&copy, &all) {
            changed += usize::from(of_kind(&findings, Kind::Profile).len() != whole);
        }
        let _either = extract(&file[..at], &all);
    }
    assert!(changed > 10, "{changed}");
}

/// A file of nothing but pairs that lead to one profile, each with another size: each has to be decoded,
/// and the work is bounded.
#[test]
fn many_pairs_that_lead_to_one_place_are_given_up_in_time() {
    let mut profile = made::from_the_text_alone()[3].1.clone();
    profile.resize(profile.len().next_multiple_of(8), 0);
    let all: Vec<_> = release_names().into_iter().map(release).filter(|release| release.reads_blobs()).collect();
    let make = |base: u64| {
        let mut object = Object::new(BinaryFormat::MachO, Architecture::Aarch64, Endianness::Little);
        let section = object.add_section(b"__DATA".to_vec(), b"__data".to_vec(), SectionKind::Data);
        let length = profile.len() as u64;
        let pairs: Vec<u8> =
            (0..100_000_u64).flat_map(|n| [base + 8, length + 100_000 - n]).flat_map(u64::to_le_bytes).collect();
        object.append_section_data(section, &[vec![0x77; 8], profile.clone(), pairs].concat(), 8);
        object.write().unwrap()
    };
    let file = make(addresses(&make(0))[0].1);
    let start = Instant::now();
    let refused = extract(&file, &all);
    assert!(matches!(refused, Err(ExtractError::TooMuchWork { .. })), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}
