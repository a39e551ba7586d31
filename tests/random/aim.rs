//! In: the rules of a profile, and a number. Out: a request that meets them at their joints: the
//! strings of the rules themselves, their parents and children, one byte more or less, in the other
//! case; what their expressions match and just fail to match; numbers at and beside those that are
//! tested; the same with something left unknown. Never: a verdict.

use std::collections::BTreeMap;

use sbtool::pattern::regex::Expression;
use sbtool::pattern::{Part, StringPattern};
use sbtool::policy::request::{Entitlement, Request};
use sbtool::policy::rules::{Address, Argument, Filter, ModifierArgument, PROTOCOLS, Rule, Rules, Test};
use sbtool::vocabulary::{FilterId, FilterKind, OperationId, Release};

/// What a request knows of one filter.
#[derive(Clone, Debug)]
pub enum Known {
    Text(FilterId, Vec<u8>),
    Number(FilterId, u16),
    Address(FilterId, Address),
    Entitlement(Vec<u8>, Entitlement),
}

/// A request of these facts, as far as it takes them: the first of two that cannot both be, stays.
pub fn request(release: &Release, operation: OperationId, known: &[Known]) -> Request {
    let mut request = Request::new(operation);
    for fact in known.iter().cloned() {
        let _refused = match fact {
            Known::Text(filter, text) => request.add_text(release, filter, &text),
            Known::Number(filter, number) => request.add_number(release, filter, number),
            Known::Address(filter, address) => request.add_address(release, filter, address),
            Known::Entitlement(key, value) => request.add_entitlement(&key, value),
        };
    }
    request
}

/// Numbers from a number (splitmix64): a seed says all about a request.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        (!list.is_empty()).then(|| &list[self.below(list.len())])
    }
}

/// What the rules of a profile test, rule by rule.
pub struct Material {
    release: &'static Release,
    operations: Vec<OperationId>,
    /// The tests of each rule, of each implicit rule, and of the rules of each message filter; with
    /// the operations that are asked about them.
    groups: Vec<(Vec<OperationId>, Vec<Test>)>,
    all: Vec<Test>,
    children: BTreeMap<OperationId, Vec<OperationId>>,
}

fn tests_of(rule: &Rule, operations: &[OperationId], groups: &mut Vec<(Vec<OperationId>, Vec<Test>)>) {
    let mut tests = Vec::new();
    let mut work: Vec<&Filter> = rule.filter.as_deref().into_iter().collect();
    while let Some(filter) = work.pop() {
        match filter {
            Filter::Test(test) => tests.push(test.clone()),
            Filter::All(list) | Filter::Any(list) => work.extend(list.iter().map(AsRef::as_ref)),
            Filter::Not(inner) => work.push(inner),
        }
    }
    groups.push((operations.to_vec(), tests));
    for modifier in &rule.modifiers {
        if let ModifierArgument::MessageFilter(inner) = &modifier.argument {
            inner.iter().for_each(|rule| tests_of(rule, operations, groups));
        }
    }
}

impl Material {
    pub fn of(rules: &Rules) -> Self {
        let release = rules.release;
        let mut groups = Vec::new();
        rules.list.iter().for_each(|rule| tests_of(rule, &rule.operations, &mut groups));
        for rule in release.implicit_rules() {
            let filter = release.filter_named(&rule.filter).unwrap().id;
            let argument = match (&rule.literal, rule.value) {
                (Some(text), _) => Argument::Text(text.as_bytes().to_vec()),
                (None, Some(number)) => Argument::Number(number),
                (None, None) => Argument::Numbers(rule.values.clone()),
            };
            groups.push((vec![release.operation(&rule.operation).unwrap()], vec![Test { filter, argument }]));
        }
        let mut operations: Vec<OperationId> =
            rules.list.iter().flat_map(|rule| rule.operations.iter().copied()).collect();
        operations.push(OperationId::DEFAULT);
        for rule in release.implicit_rules() {
            operations.push(release.operation(&rule.operation).unwrap());
        }
        let mut children: BTreeMap<OperationId, Vec<OperationId>> = BTreeMap::new();
        for entry in &release.operations()[..release.operation_slots()] {
            let operation = OperationId(entry.id);
            children.entry(release.parent(operation).unwrap_or(OperationId::DEFAULT)).or_default().push(operation);
        }
        groups.retain(|(_, tests)| !tests.is_empty());
        let all = groups.iter().flat_map(|(_, tests)| tests).cloned().collect();
        Self { release, operations, groups, all, children }
    }

    /// The operation and the facts that a seed stands for.
    pub fn aimed(&self, seed: u64) -> (OperationId, Vec<Known>) {
        let chance = &mut Chance(seed);
        let mut operation = self.operation(chance);
        let mut known = Vec::new();
        // A rule that may be met as a whole, mostly by its own operation; then any others. What
        // comes first counts, where a filter has one value.
        if !chance.one_in(5)
            && let Some((operations, tests)) = chance.pick(&self.groups)
        {
            if !chance.one_in(3) {
                operation = *chance.pick(operations).unwrap();
            }
            for test in tests {
                if !chance.one_in(6) {
                    self.meet(chance, test, &mut known);
                }
            }
        }
        for _ in 0..chance.below(4) {
            if let Some(test) = chance.pick(&self.all) {
                self.meet(chance, test, &mut known);
            }
        }
        if chance.one_in(3) && known.len() > 1 {
            let middle = chance.below(known.len());
            known.rotate_left(middle);
        }
        if chance.one_in(6) {
            let filters = self.release.filters();
            let filter = &filters[chance.below(filters.len())];
            if !filter.name.starts_with("%entitlement") {
                known.push(match filter.kind {
                    FilterKind::Boolean => Known::Number(filter.id, u16::from(chance.one_in(2))),
                    FilterKind::Bitfield | FilterKind::Enum | FilterKind::Integer | FilterKind::Mask => {
                        Known::Number(filter.id, u16::try_from(chance.below(5)).unwrap())
                    }
                    FilterKind::Network => Known::Address(filter.id, any_address(chance)),
                    _ => Known::Text(filter.id, b"/a".to_vec()),
                });
            }
        }
        (operation, known)
    }

    fn operation(&self, chance: &mut Chance) -> OperationId {
        if chance.one_in(8) {
            return OperationId(u16::try_from(chance.below(self.release.operation_slots())).unwrap());
        }
        let named = *chance.pick(&self.operations).unwrap();
        match chance.below(8) {
            0 => self.release.parent(named).unwrap_or(OperationId::DEFAULT),
            // A child that no rule names, or one that does, or a child of that.
            1..=3 => {
                let child = self.children.get(&named).and_then(|list| chance.pick(list)).copied().unwrap_or(named);
                match self.children.get(&child) {
                    Some(list) if chance.one_in(2) => *chance.pick(list).unwrap(),
                    _ => child,
                }
            }
            _ => named,
        }
    }

    /// A fact at or beside what a test wants.
    fn meet(&self, chance: &mut Chance, test: &Test, known: &mut Vec<Known>) {
        let filter = test.filter;
        let name = self.release.filter_name(filter);
        if name.starts_with("%entitlement") {
            let key = match &test.argument {
                Argument::Text(key) => key.clone(),
                _ => chance.pick(&[b"k".to_vec(), b"l".to_vec()]).unwrap().clone(),
            };
            let value = match &test.argument {
                Argument::Pattern(_) | Argument::Regexes(_) => {
                    let count = chance.below(3);
                    Entitlement::Texts((0..count).map(|_| self.text(chance, &test.argument)).collect())
                }
                _ if chance.one_in(6) => Entitlement::Texts(vec![b"a".to_vec()]),
                _ => Entitlement::Bool(!chance.one_in(4)),
            };
            known.push(Known::Entitlement(key, value));
            return;
        }
        match &test.argument {
            Argument::Number(number) => known.push(Known::Number(filter, near(chance, *number))),
            Argument::Numbers(set) | Argument::Mask { numbers: set, .. } => {
                let number = chance.pick(set).copied().unwrap_or(0);
                known.push(Known::Number(filter, near(chance, number)));
            }
            Argument::Address(address) => {
                let mut address = *address;
                match chance.below(6) {
                    0 => address.localhost = !address.localhost,
                    1 => address.port = address.port.wrapping_add(1),
                    2 => address.protocol = chance.pick(&PROTOCOLS).unwrap().1,
                    3 => address = any_address(chance),
                    _ => {}
                }
                known.push(Known::Address(filter, address));
            }
            other => {
                let text = self.text(chance, other);
                known.push(Known::Text(filter, text));
            }
        }
    }

    /// A string at or beside what a test wants.
    fn text(&self, chance: &mut Chance, argument: &Argument) -> Vec<u8> {
        let plain = |pattern: &StringPattern| match pattern.parts.as_slice() {
            [.., Part::Text(text)] => text.clone(),
            _ => Vec::new(),
        };
        let mut text = match argument {
            Argument::Text(text) | Argument::StateFlag(text) | Argument::ProfileFlag(text) => text.clone(),
            Argument::Pattern(pattern) => plain(pattern),
            Argument::Regexes(list) => {
                let mut text = Vec::new();
                if let Some((_, expression)) = chance.pick(list) {
                    sample(expression, chance, 4, &mut text);
                }
                if chance.one_in(3) {
                    text.splice(0..0, b"/a".iter().copied());
                }
                text
            }
            _ => Vec::new(),
        };
        for _ in 0..[0, 1, 1, 1, 2][chance.below(5)] {
            self.change(chance, &mut text);
        }
        text
    }

    fn change(&self, chance: &mut Chance, text: &mut Vec<u8>) {
        let place = chance.below(text.len() + 1);
        match chance.below(12) {
            // The parent: all before the last slash.
            0 => text.truncate(text.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            // A child.
            1 => text.extend(b"/a"),
            2 => text.push(b'/'),
            3 => text.push(*chance.pick(b"abAB/.\0\xff").unwrap()),
            4 => {
                text.pop();
            }
            5 => text.truncate(place),
            6 => {
                for byte in text.iter_mut() {
                    *byte =
                        if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
                }
            }
            // One letter in the other case; no letter becomes another byte.
            7 => {
                if let Some(byte) = text.get_mut(place) {
                    *byte ^= 0x20;
                }
            }
            8 => text.insert(place, *chance.pick(b"abAB/").unwrap()),
            9 => {
                if place < text.len() {
                    text.remove(place);
                }
            }
            // Another string of the profile, alone or behind this one.
            _ => {
                if let Some(Test { argument: Argument::Pattern(other), .. }) = chance.pick(&self.all)
                    && let [.., Part::Text(other)] = other.parts.as_slice()
                {
                    if chance.one_in(2) {
                        text.clear();
                    }
                    text.extend(other);
                }
            }
        }
    }
}

/// A number, mostly itself.
fn near(chance: &mut Chance, number: u16) -> u16 {
    match chance.below(8) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        2 => number ^ (1 << chance.below(16)),
        3 => number | (1 << chance.below(16)),
        4 => u16::try_from(chance.below(4)).unwrap(),
        _ => number,
    }
}

fn any_address(chance: &mut Chance) -> Address {
    let (_, protocol) = *chance.pick(&PROTOCOLS).unwrap();
    Address { protocol, localhost: chance.one_in(2), port: u16::try_from(chance.below(3)).unwrap() }
}

/// A string that the expression matches, unless an anchor stands in the middle of it.
fn sample(expression: &Expression, chance: &mut Chance, fuel: usize, out: &mut Vec<u8>) {
    let member = |ranges: &[(u8, u8)], chance: &mut Chance| {
        let (low, high) = *chance.pick(ranges)?;
        // The ends of a range are where it goes wrong.
        Some(match chance.below(4) {
            0 => low,
            1 => high,
            _ => low + u8::try_from(chance.below(usize::from(high - low) + 1)).unwrap(),
        })
    };
    match expression {
        Expression::Empty | Expression::Start | Expression::End => {}
        Expression::Byte(byte) => out.push(*byte),
        Expression::Any => out.push(*chance.pick(b"aB/\n\xff").unwrap()),
        Expression::Class(ranges) => out.extend(member(ranges, chance)),
        Expression::NegatedClass(ranges) => {
            let inside = |byte: u8| ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte));
            // Just beside a range, else anything outside.
            let beside = ranges.iter().flat_map(|(low, high)| [low.wrapping_sub(1), high.wrapping_add(1)]);
            let outside: Vec<u8> = beside.chain(*b"aB/[`").filter(|byte| !inside(*byte)).collect();
            out.extend(chance.pick(&outside).copied());
        }
        Expression::Sequence(list) => list.iter().for_each(|item| sample(item, chance, fuel, out)),
        Expression::Alternation(list) => {
            if let Some(item) = chance.pick(list) {
                sample(item, chance, fuel, out);
            }
        }
        Expression::Star(inner) | Expression::Plus(inner) | Expression::Optional(inner) => {
            let (least, most) = match expression {
                Expression::Star(_) => (0, fuel),
                Expression::Plus(_) => (1, fuel),
                _ => (0, 1),
            };
            for _ in 0..(least + chance.below(most.max(1) + 1)).min(fuel.max(least)) {
                sample(inner, chance, fuel / 2, out);
            }
        }
    }
}
