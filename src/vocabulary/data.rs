//! In: nothing; these are the shapes of a grammar file. Out: plain structs that mirror it, one
//! field per key. Never: behaviour; the checks are in the parent module.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{FilterId, ModifierId};
use crate::pattern::tree::Saved;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseData {
    pub release: String,
    pub title: String,
    pub versions: Vec<u8>,
    pub folds_paths: bool,
    pub target_platform: String,
    #[serde(default)]
    pub layout: Option<Layout>,
    /// In place of `layout`, for containers that are only read.
    #[serde(default)]
    pub early_layout: Option<EarlyLayout>,
    /// No blob of the release's family was at hand: its layout is from descriptions.
    #[serde(default)]
    pub from_text_alone: bool,
    #[serde(default)]
    pub programs: Programs,
    #[serde(default)]
    pub inferred: Vec<Inferred>,
    pub implicit: Vec<ImplicitRule>,
    pub operations: Vec<Operation>,
    pub operation_aliases: Vec<OperationAlias>,
    pub no_op_operations: NoOpOperations,
    pub filters: Vec<Filter>,
    /// Actions besides allow and deny.
    #[serde(default)]
    pub actions: Vec<String>,
    pub modifiers: Vec<Modifier>,
    pub deprecated_modifiers: Vec<VersionedName>,
    pub paths: Paths,
}

/// A part of a grammar file that no source confirms for this release.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inferred {
    /// The key in the file; `filters.contrary` for one key of every filter.
    pub key: String,
    /// Where the value comes from: another release, or what it was told from.
    pub from: String,
}

/// Header fields and table order of a compiled blob (FORMAT.md §1.5).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Bytes before the first table.
    pub header_length: usize,
    /// Every byte of the header belongs to exactly one of these.
    pub fields: Vec<HeaderField>,
    /// Tables of u16 between header and operation table, by the name of the field that counts them.
    pub tables: Vec<String>,
    /// Words of a profile's record in a collection, before its operation table (FORMAT.md §1.5, §1.6).
    pub record: Vec<RecordWord>,
    /// How a terminal carries modifiers.
    pub terminal: TerminalForm,
    /// Node array and pool objects start on multiples of this many bytes.
    pub alignment: usize,
    /// Bit of the first header word that marks a collection.
    pub collection_flag: u16,
    /// Bit of a profile's flags that marks message filters; 0 where there are none.
    pub message_filter_flag: u16,
    /// Bits of a profile's flags that follow from its record.
    #[serde(default)]
    pub record_flags: RecordFlags,
    /// Bits of the sets of [`FilterKind::Mask`].
    #[serde(default)]
    pub mask_bits: u16,
}

/// Header fields of a blob whose links and offsets are 8-byte words from its start (FORMAT.md §1.1 to
/// §1.4). The regex table lies behind the nodes; `regex_table` is its place and `regexes` its length.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyLayout {
    /// Every byte of the header of a single profile belongs to exactly one of these.
    pub fields: Vec<HeaderField>,
    /// More tables behind the nodes.
    #[serde(default)]
    pub tables: Vec<EarlyTable>,
    /// What the argument of a pattern filter is.
    pub patterns: EarlyPatterns,
    /// How a terminal carries flags and modifiers.
    #[serde(default)]
    pub terminal: EarlyTerminal,
    /// Node array and objects start on multiples of this many bytes.
    pub alignment: usize,
    /// The form of a collection, where there are such.
    #[serde(default)]
    pub collection: Option<EarlyCollection>,
}

/// What a collection of profiles has besides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyCollection {
    /// The value of `flags` that marks it.
    pub flag: u16,
    /// Fields behind those of a single profile; `profiles` counts the records.
    pub fields: Vec<HeaderField>,
    /// Words of a profile's record, before its operation table.
    pub record: Vec<RecordWord>,
}

/// A table of words behind the nodes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyTable {
    /// What it holds, and the header field that counts its entries.
    pub name: String,
    /// The header field that says where it is.
    pub place: String,
}

/// How a terminal of an early blob carries flags and modifiers (FORMAT.md §2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EarlyTerminal {
    /// 16 flag bits in bytes 2 and 3, nothing besides.
    #[default]
    Flags,
    /// 8 flag bits in byte 1, a signal in byte 2, the number of a message in byte 4.
    SignalAndMessage,
}

/// What a pattern filter compares with before there were relative offsets (FORMAT.md §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EarlyPatterns {
    /// Always the number of a regular expression.
    Regexes,
    /// The place of a string with a type; bit 7 of the filter marks the number of an expression.
    Strings,
    /// The place of a pattern program; bit 7 as before.
    Programs,
}

/// A word of a profile's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordWord {
    /// Pool offset of the profile's name.
    Name,
    /// Its flags (FORMAT.md §1.7).
    Flags,
    /// Pool offset of the name of the profile that it extends; 0 for none.
    Base,
    /// Pool offset of the set of its profile flags; 0 for none.
    FlagSet,
}

/// How a compiled terminal carries modifiers (FORMAT.md §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TerminalForm {
    /// 24 flag bits; one modifier inline or a list in the pool.
    Modifiers,
    /// 8 flag bits, a signal, the number of a message.
    SignalAndMessage,
}

/// Bits of a profile's flags that follow from other facts; 0 where the release has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordFlags {
    /// It extends another profile.
    #[serde(default)]
    pub based: u16,
    /// It has profile flags.
    #[serde(default)]
    pub flag_set: u16,
}

/// How pattern programs of a release differ from those of macOS 14 and later.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Programs {
    /// What becomes of a saved place behind alternatives (FORMAT.md §4.3).
    pub saved: Saved,
    /// Whether simple regular expressions are programs.
    pub lowers_regexes: bool,
    /// Whether neighbouring strings of different rules are one program, as those of one rule are. In
    /// iOS 13 and 9.3, 14,667 and 12,728 neighbours that could be one are not, in iOS 17 and 26 one and
    /// three.
    pub merges_rules: bool,
}

impl Default for Programs {
    fn default() -> Self {
        Self { saved: Saved::Kept, lowers_regexes: true, merges_rules: true }
    }
}

/// One header field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderField {
    /// What it counts or marks.
    pub name: String,
    /// Offset in bytes.
    pub offset: usize,
    /// Width in bytes: 1 or 2.
    pub width: usize,
}

/// What a terminal operation does before any rule names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TerminalDefault {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
}

/// One operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Position in the table.
    pub id: u16,
    /// Name in SBPL.
    pub name: String,
    /// The operation whose decision it inherits; none for terminal operations.
    #[serde(default)]
    pub parent: Option<String>,
    /// The parent is told from the name, no table confirms it.
    #[serde(default)]
    pub parent_inferred: bool,
    /// The name or the number is derived, no table has it.
    #[serde(default)]
    pub inferred: bool,
    /// What it does before any rule names it is taken from another release.
    #[serde(default)]
    pub default_inferred: bool,
    /// Set for operations that inherit from nobody (LANGUAGE.md §6.1).
    #[serde(default)]
    pub terminal: Option<TerminalDefault>,
    /// SBPL versions that allow it until a rule without filter names it (LANGUAGE.md §3).
    #[serde(default)]
    pub allowed_in: Vec<u8>,
    /// Exists only inside message filters; has no slot in an operation table.
    #[serde(default)]
    pub message_filter: bool,
}

/// Another name of an operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationAlias {
    /// The name.
    pub name: String,
    /// What it stands for.
    pub operation: String,
    /// SBPL versions that know it.
    pub versions: Vec<u8>,
    /// The name is also an operation of its own, which the alias hides.
    #[serde(default)]
    pub shadows: bool,
    /// Told from the names, no table confirms it.
    #[serde(default)]
    pub inferred: bool,
}

/// Names whose rules do nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOpOperations {
    /// The names.
    pub names: Vec<String>,
    /// SBPL versions that know them.
    pub versions: Vec<u8>,
    /// Taken from another release.
    #[serde(default)]
    pub inferred: bool,
}

/// A name with the versions that know it and the profile flag that it sets, if any.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionedName {
    /// The name.
    pub name: String,
    /// SBPL versions that know it.
    pub versions: Vec<u8>,
    /// Bit of the profile flags that using it sets (FORMAT.md §1.7); 0 for none.
    #[serde(default)]
    pub profile_flag: u16,
    /// A modifier that is added to the rule instead, with its number argument.
    #[serde(default)]
    pub replaced_by: Option<(String, u16)>,
}

/// What values a filter tests (LANGUAGE.md §5, FORMAT.md §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilterKind {
    /// A flag; no argument means true.
    Boolean,
    /// A mask of bits.
    Bitfield,
    /// One of a few named numbers.
    Enum,
    /// A number.
    Integer,
    /// An exact string.
    String,
    /// A string with prefix and regex forms.
    Pattern,
    /// A path: literal, prefix, subpath and regex forms.
    Path,
    /// A network address.
    Network,
    /// A set of numbers, always; its width is the release's.
    Mask,
    /// The name of a state flag.
    StateFlag,
    /// The name of a profile flag.
    ProfileFlag,
}

impl FilterKind {
    /// The name in a grammar file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Bitfield => "bitfield",
            Self::Enum => "enum",
            Self::Integer => "integer",
            Self::String => "string",
            Self::Pattern => "pattern",
            Self::Path => "path",
            Self::Network => "network",
            Self::Mask => "mask",
            Self::StateFlag => "state-flag",
            Self::ProfileFlag => "profile-flag",
        }
    }
}

/// How a filter function compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchKind {
    /// The whole string.
    Literal,
    /// A beginning of the string.
    Prefix,
    /// The path itself and everything below it.
    Subpath,
    /// A regular expression somewhere in the string.
    Regex,
    /// A number, an enum value, an exact string.
    Value,
    /// A flag.
    Flag,
    /// A network address.
    Address,
}

/// A name in SBPL that makes a filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterFunction {
    /// The name.
    pub name: String,
    /// How it compares.
    #[serde(rename = "match")]
    pub matching: MatchKind,
    /// SBPL versions that know it; empty for all.
    #[serde(default)]
    pub versions: Vec<u8>,
}

/// One filter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Number in compiled nodes.
    pub id: FilterId,
    /// Table name.
    pub name: String,
    /// The name is a guess: the number was only seen in blobs.
    #[serde(default)]
    pub inferred: bool,
    /// What it tests.
    pub kind: FilterKind,
    /// The kind is told from the name or from the nearest known kind.
    #[serde(default)]
    pub kind_inferred: bool,
    /// Compared without regard to ASCII case where the release folds paths.
    #[serde(default)]
    pub folds: bool,
    /// Sort key inside conjunctions (GRAPH.md R1), signed.
    pub cost: i16,
    /// The cost is placed from blobs or guessed; no table has it.
    #[serde(default)]
    pub cost_inferred: bool,
    /// A request has at most one value, so a match with one value excludes the others (GRAPH.md R5).
    #[serde(default)]
    pub single_valued: bool,
    /// One of the mutually exclusive name filters (LANGUAGE.md §5.1).
    #[serde(default)]
    pub contrary: bool,
    /// Must be tested behind this filter, whose value it refers to.
    #[serde(default)]
    pub prerequisite: Option<String>,
    /// Several values of one call become one bit mask (GRAPH.md R3e).
    #[serde(default)]
    pub mask: bool,
    /// SBPL names.
    pub functions: Vec<FilterFunction>,
    /// The named values are taken from another release.
    #[serde(default)]
    pub values_inferred: bool,
    /// Named values; each name is a variable in SBPL.
    #[serde(default)]
    pub values: BTreeMap<String, u16>,
}

/// Which action may carry a modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Applies {
    /// Only `allow`.
    Allow,
    /// Only `deny`.
    Deny,
    /// Either.
    Both,
}

/// What a modifier takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModifierArgumentKind {
    /// Nothing; it changes flag bits.
    None,
    /// A number.
    Number,
    /// A string.
    Text,
    /// Rules for messages.
    MessageFilter,
}

/// One modifier.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modifier {
    /// Number in compiled terminals.
    pub id: ModifierId,
    /// The number is taken from another release.
    #[serde(default)]
    pub inferred: bool,
    /// Name in SBPL.
    pub name: String,
    /// Which action may carry it.
    pub actions: Applies,
    /// What it takes.
    pub argument: ModifierArgumentKind,
    /// Terminal flag bits that it decides.
    #[serde(default)]
    pub mask: u32,
    /// What it sets them to.
    #[serde(default)]
    pub set: u32,
    /// Other names.
    #[serde(default)]
    pub aliases: Vec<ModifierAlias>,
    /// Operations that may carry it; empty for all.
    #[serde(default)]
    pub only: Vec<String>,
    /// Operations that may not carry it.
    #[serde(default)]
    pub except: Vec<String>,
    /// Lowest and highest number.
    #[serde(default)]
    pub range: Option<(u16, u16)>,
    /// Named numbers.
    #[serde(default)]
    pub values: BTreeMap<String, u16>,
}

/// Another name of a modifier.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModifierAlias {
    /// The name.
    pub name: String,
    /// SBPL versions that know it.
    pub versions: Vec<u8>,
}

/// Which node object an implicit rule gets (GRAPH.md R6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImplicitNode {
    /// Shared like the node of a written rule.
    Shared,
    /// A node of its own, even where an equal one exists.
    Own,
    /// Shared, but its allow is a terminal of its own.
    OwnTerminal,
}

/// An allow that the compiler adds after the profile's rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImplicitRule {
    /// Where it is added.
    pub operation: String,
    /// What it tests.
    pub filter: String,
    /// A number to compare with.
    #[serde(default)]
    pub value: Option<u16>,
    /// A set of numbers to compare with.
    #[serde(default)]
    pub values: Vec<u16>,
    /// A string to compare with.
    #[serde(default)]
    pub literal: Option<String>,
    /// SBPL versions that have it.
    pub versions: Vec<u8>,
    /// Which node it gets.
    pub node: ImplicitNode,
    /// Takes the node of this operation's implicit rule where the two are equal.
    #[serde(default)]
    pub shares_with: Option<String>,
    /// Only where one of these can be allowed by the profile.
    #[serde(default)]
    pub when_allowed: Vec<String>,
    /// The condition or the rule is told from lengths or names only.
    #[serde(default)]
    pub inferred: bool,
}

/// Path aliases of such a system (RUNTIME.md part 3).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Symlinks and their absolute targets.
    pub symlinks: Vec<(String, String)>,
    /// Where the data volume is mounted; nothing before there was one.
    #[serde(default)]
    pub data_volume: Option<String>,
    /// Folders that the data volume shows at the root as well.
    pub firmlinks: Vec<String>,
}
