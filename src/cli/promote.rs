//! `promote`: whether the artifacts of a run may be promoted.

use std::path::PathBuf;

use clap::Args;

use super::output::{Console, Format};
use super::status::{Failure, Status};
use crate::probe::artifacts::promotion::{self, PromotionPacket};

/// Say whether a run may be promoted, and every reason why not
///
/// A run may be promoted if it is whole, its files are what their digests say, a harmless profile could
/// be applied before it, and its runners ran from a job of launchd (channel launchd_clean), which
/// nobody's sandbox covers.
#[derive(Args)]
#[command(after_help = "Examples:
  sbtool promote out
  sbtool promote --format json out

Exit status: 0 it may, 1 it may not. docs/schemas/promotion_packet.schema.json describes the JSON.")]
pub struct Options {
    /// Folder of the artifacts of `sbtool probe`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let name = options.folder.display().to_string();
    std::fs::read_dir(&options.folder).map_err(|source| Failure::NoInput { name: name.clone(), source })?;
    let packet = promotion::judge(&options.folder);
    match options.format {
        Format::Json => console.print_json(&packet)?,
        Format::Text => console.print(text(&name, &packet))?,
    }
    Ok(if packet.promotable { Status::Holds } else { Status::DoesNotHold })
}

fn text(name: &str, packet: &PromotionPacket) -> String {
    let verdict = if packet.promotable { "may be promoted" } else { "may not be promoted" };
    let mut text = format!("{name}: {verdict}\n");
    for detail in &packet.details {
        text.push_str(&format!("  {}: {}\n", detail.reason.name(), neutral(&detail.text)));
    }
    text
}

/// Without what a terminal would obey: names come from the folder.
fn neutral(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
