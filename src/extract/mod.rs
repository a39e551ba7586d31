//! In: the bytes of a Mach-O (a kernelcache, a kext, sandboxd, libsandbox) or of a container's property
//! list. Out: [`Finding`]s: the compiled profiles, collections and operation names in them, and where they
//! lie (FORMAT.md §8.1). Never: files, or a profile that the decoder does not read to its end.
//!
//! - `macho`: images, sections, symbols
//! - `scan`: blobs in bytes
//! - `names`: the list of operation names
//! - `pairs`: profiles of iOS 4 to 8, by pointers and sizes
//! - `container`: property lists

mod container;
mod macho;
mod names;
mod pairs;
mod scan;

use serde::Serialize;

use crate::vocabulary::Release;

/// What something that was found is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A compiled profile.
    Profile,
    /// A compiled collection of profiles.
    Collection,
    /// The names of operations, in the order of their numbers.
    OperationNames,
}

impl Kind {
    /// Its name in messages and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Collection => "collection",
            Self::OperationNames => "operation-names",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Its bytes; names are one a line.
    pub bytes: Vec<u8>,
    /// The image of a universal file; nothing in a file of one image.
    pub architecture: Option<String>,
    /// The segment and section, or the key of a property list.
    pub section: String,
    /// Where it starts in the file.
    pub offset: usize,
    /// Where it starts in memory, in a Mach-O.
    pub address: Option<u64>,
    /// The symbol of that address, if there is one.
    pub symbol: Option<String>,
    /// The releases that read it, best known names first; for names, those that have the same.
    pub releases: Vec<&'static str>,
    /// How many operations it has.
    pub operations: usize,
    /// How many profiles it has; none for names.
    pub profiles: usize,
    /// Bytes that the decoder cannot account for; 0 for whatever Apple's compiler made.
    pub unaccounted: usize,
    /// The name that an array of the image gives it: profiles of iOS 4 to 8 have none of their own.
    pub name: Option<String>,
}

/// Why nothing can be taken out of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// It has to be unpacked first.
    #[error("is compressed ({form}); {advice}")]
    Compressed {
        /// How.
        form: &'static str,
        /// What unpacks it.
        advice: &'static str,
    },
    /// It is something else.
    #[error("is no Mach-O and no property list")]
    Unknown,
    /// A part of the Mach-O is damaged.
    #[error("{what} at offset {offset}: {reason}")]
    Damaged {
        /// Which part.
        what: &'static str,
        /// Where.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// It claims more of something than is looked at.
    #[error("{count} {what}, more than the {limit} that sbtool looks at")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many places look like the start of a profile and are none.
    #[error("offset {offset}: too many places before this one look like profiles and are none; given up")]
    TooMuchWork {
        /// How far the search came.
        offset: usize,
    },
    /// The property list is damaged.
    #[error("property list: {0}")]
    PropertyList(String),
    /// It holds no profile.
    #[error("the property list has no SandboxProfileData; only those of app containers have it")]
    NoProfileData,
    /// It holds something that is no profile.
    #[error("its SandboxProfileData of {length} bytes is no profile of {tried}")]
    BadProfileData {
        /// How long.
        length: usize,
        /// The releases that were tried.
        tried: String,
    },
}

/// Everything that sbtool knows how to find, by ascending offset.
///
/// # Errors
/// [`ExtractError`]. A file in which there is nothing to find is no error.
pub fn extract(bytes: &[u8], releases: &[&'static Release]) -> Result<Vec<Finding>, ExtractError> {
    if let Some((form, advice)) = compression(bytes) {
        return Err(ExtractError::Compressed { form, advice });
    }
    if container::is_property_list(bytes) {
        return Ok(vec![container::extract(bytes, releases)?]);
    }
    let mut findings = Vec::new();
    let mut budget = scan::Budget::default();
    for image in macho::images(bytes)? {
        let binary = macho::Binary::read(image.bytes).map_err(|error| error.moved(image.offset))?;
        for blob in scan::blobs(&binary, releases, &mut budget).map_err(|error| error.moved(image.offset))? {
            findings.push(image.place(&binary, blob));
        }
        for blob in pairs::profiles(&binary, releases, &mut budget).map_err(|error| error.moved(image.offset))? {
            findings.push(image.place(&binary, blob));
        }
        if let Some(names) = names::operation_names(&binary) {
            findings.push(image.place(&binary, names));
        }
    }
    findings.sort_by_key(|finding| finding.offset);
    Ok(findings)
}

impl ExtractError {
    /// The same error for an image that starts at this offset of the file.
    fn moved(self, by: usize) -> Self {
        match self {
            Self::Damaged { what, offset, reason } => Self::Damaged { what, offset: offset + by, reason },
            Self::TooMuchWork { offset } => Self::TooMuchWork { offset: offset + by },
            other => other,
        }
    }
}

/// How a kernelcache is packed, and what unpacks it.
fn compression(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it first: 'ipsw kernel dec FILE', or 'img4 -i FILE -o OUT'";
    let head = bytes.get(..bytes.len().min(64)).unwrap_or_default();
    // IM4P is a DER sequence whose first element is the string "IM4P" (16 04 …), behind the sequence's
    // length, which takes one to five bytes.
    let is_im4p =
        head.first() == Some(&0x30) && (2..=6).any(|at| head[at.min(head.len())..].starts_with(b"\x16\x04IM4P"));
    if is_im4p {
        return Some(("IM4P", UNPACK));
    }
    if head.starts_with(b"complzss") {
        return Some(("LZSS", "unpack it first: 'lzssdec -o 384 < FILE > OUT', or 'ipsw kernel dec FILE'"));
    }
    // Blocks of LZFSE: compressed in either form, LZVN, stored (the format's own magic numbers).
    if [b"bvx2", b"bvx1", b"bvxn", b"bvx-"].iter().any(|magic| head.starts_with(*magic)) {
        return Some((
            "LZFSE",
            "unpack it first: 'lzfse -decode -i FILE -o OUT', or 'compression_tool -decode' on a Mac",
        ));
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        return Some(("gzip", "unpack it first: 'gunzip'"));
    }
    None
}
