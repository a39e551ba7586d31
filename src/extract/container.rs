//! In: the property list of an app container (`.com.apple.containermanagerd.metadata.plist`). Out: the
//! profile in it (FORMAT.md §8.1). Never: a tree of the list; it is read event by event, so neither depth
//! nor lists that name one another cost more than [`MOST_EVENTS`].

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plist::stream::{Event, Reader};

use super::{ExtractError, Finding, scan};
use crate::vocabulary::Release;

/// The key whose value is a compiled profile.
const KEY: &str = "SandboxProfileData";
/// Most elements of a list that are read. Real ones have some hundred.
const MOST_EVENTS: usize = 1 << 20;

/// Whether bytes are a property list, in either form.
pub(super) fn is_property_list(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    bytes.starts_with(b"bplist")
        || [&b"<?xml"[..], b"<!DOCTYPE plist", b"<plist"].iter().any(|mark| text.starts_with(mark))
}

pub(super) fn extract(bytes: &[u8], releases: &[&'static Release]) -> Result<Finding, ExtractError> {
    let data = profile_data(bytes)?;
    let bad = || ExtractError::BadProfileData {
        length: data.len(),
        tried: releases.iter().map(|release| release.name()).collect::<Vec<_>>().join(", "),
    };
    let found = scan::at_front(&data, releases).ok_or_else(bad)?;
    Ok(Finding {
        kind: found.kind,
        architecture: None,
        section: KEY.to_owned(),
        offset: 0,
        address: None,
        symbol: None,
        releases: found.releases,
        operations: found.operations,
        profiles: found.profiles,
        unaccounted: found.unaccounted + data.len() - found.bytes.len(),
        bytes: found.bytes,
        name: None,
    })
}

/// The value of the key: data, or base64 in a string.
fn profile_data(bytes: &[u8]) -> Result<Vec<u8>, ExtractError> {
    let damaged = |error: &dyn std::fmt::Display| ExtractError::PropertyList(error.to_string());
    let mut behind_key = false;
    for (index, event) in Reader::new(Cursor::new(bytes)).enumerate() {
        if index >= MOST_EVENTS {
            return Err(ExtractError::TooMany {
                what: "elements of the property list",
                count: index,
                limit: MOST_EVENTS,
            });
        }
        match event.map_err(|error| damaged(&error))? {
            Event::Data(data) if behind_key => return Ok(data.into_owned()),
            Event::String(text) if behind_key => {
                let text: String = text.split_ascii_whitespace().collect();
                return STANDARD.decode(text).map_err(|error| damaged(&error));
            }
            Event::String(text) => behind_key = text == KEY,
            _ => behind_key = false,
        }
    }
    Err(ExtractError::NoProfileData)
}
