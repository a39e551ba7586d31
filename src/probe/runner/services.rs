//! In: an operation about a service of a Mac, and the service's name. Out: an attempt to reach it, by the calls
//! of [`Calls`], and a marker about how that went. Never: what is behind a service, or a change of a setting.
//!
//! Two kinds of calls are told apart: `sysctlbyname` leaves an error number, those of Mach and IOKit leave none
//! and return a code of their own (1100 is no errno). A marker has the first under `errno`; for the second it has
//! `api`, what that returned under `rc`, and `decision`, which says whether that code is a denial.

use std::ffi::{CStr, CString};
use std::io;

use super::{Ended, Speaker, number};
use crate::probe::observation::{Marker, Step, Tool};

/// What `bootstrap_look_up` returns where a profile denies it: BOOTSTRAP_NOT_PRIVILEGED of
/// <servers/bootstrap.h>. As publicly reported of denied look-ups; not tried here.
const BOOTSTRAP_NOT_PRIVILEGED: i32 = 1100;

/// What `IOServiceOpen` returns where a profile denies it: kIOReturnNotPermitted of <IOKit/IOReturn.h>, as the
/// public sources of XNU have it (IOUserClient.cpp, where a check of the policy fails); not tried here.
const IO_RETURN_NOT_PERMITTED: i32 = 0xe000_02e2_u32.cast_signed();

/// Longest name of a service of Mach, without its NUL: `name_t` of <servers/bootstrap.h> has 128 bytes.
const MAX_NAME: usize = 127;

/// What is asked of a Mac. Here a trait, so that all around the calls is tried on any system.
pub trait Calls {
    /// `bootstrap_look_up`; its return code.
    fn look_up(&self, name: &CStr) -> i32;

    /// `IOServiceOpen`, of type 0, of the first service of this class; its return code. Nothing where
    /// `IOServiceGetMatchingService` finds no such service.
    fn open_service(&self, class: &CStr) -> Option<i32>;

    /// `sysctlbyname`, to read.
    ///
    /// # Errors
    /// The error number that it leaves.
    fn read_setting(&self, name: &CStr) -> io::Result<()>;
}

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Mach,
    IoKit,
    Setting,
}

impl Service {
    fn of(operation: &str) -> Option<Self> {
        match operation {
            "mach-lookup" => Some(Self::Mach),
            "iokit-open" | "iokit-open*" | "iokit-open-service" | "iokit-open-user-client" => Some(Self::IoKit),
            // Nothing tries sysctl-write: that would change the system.
            "sysctl-read" | "sysctl*" => Some(Self::Setting),
            _ => None,
        }
    }
}

/// Whether an operation is about a service of a Mac, which has calls of its own.
#[must_use]
pub fn is_service(operation: &str) -> bool {
    Service::of(operation).is_some()
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Reached,
    /// It left this error number.
    Errno(i32),
    /// It returned this, and leaves no error number.
    Returned {
        code: i32,
        is_denial: bool,
    },
    /// There is no such service to be denied.
    Missing,
}

/// Tries it.
pub fn tried(speaker: &mut Speaker, calls: &impl Calls, operation: &str, name: &str) -> Ended {
    let Some(service) = Service::of(operation) else {
        eprintln!("sbtool: {operation}: expected mach-lookup, iokit-open-service, iokit-open-user-client, sysctl-read");
        return Ended::Usage;
    };
    let text = match CString::new(name) {
        Ok(text) if !name.is_empty() && (service != Service::Mach || name.len() <= MAX_NAME) => text,
        _ => {
            eprintln!("sbtool: {operation} {name:?}: no service has such a name");
            return Ended::Usage;
        }
    };
    let (api, reply) = match service {
        Service::Mach => ("bootstrap_look_up", returned(calls.look_up(&text), BOOTSTRAP_NOT_PRIVILEGED)),
        Service::IoKit => match calls.open_service(&text) {
            Some(code) => ("IOServiceOpen", returned(code, IO_RETURN_NOT_PERMITTED)),
            None => ("IOServiceGetMatchingService", Reply::Missing),
        },
        Service::Setting => {
            let reply = calls.read_setting(&text).err().map_or(Reply::Reached, |error| Reply::Errno(number(&error)));
            ("sysctlbyname", reply)
        }
    };
    speaker.say(&marker(operation, name, api, &reply));
    match reply {
        Reply::Reached => return Ended::Done,
        Reply::Errno(errno) => eprintln!("{operation} {name}: {}", io::Error::from_raw_os_error(errno)),
        Reply::Returned { code, .. } => eprintln!("{operation} {name}: {api} returned {code} ({code:#x})"),
        Reply::Missing => eprintln!("{operation} {name}: there is no such service"),
    }
    Ended::NotOpened
}

fn returned(code: i32, denial: i32) -> Reply {
    if code == 0 { Reply::Reached } else { Reply::Returned { code, is_denial: code == denial } }
}

fn marker(operation: &str, name: &str, api: &str, reply: &Reply) -> Marker {
    let mut marker = Marker::new(Tool::Probe, Step::Probe);
    (marker.operation, marker.argument) = (Some(operation.to_owned()), Some(name.to_owned()));
    marker.api = Some(api.to_owned());
    let (rc, errno, decision) = match reply {
        Reply::Reached => (0, Some(0), None),
        Reply::Errno(errno) => (-1, Some(*errno), None),
        Reply::Returned { code, is_denial } => (*code, None, Some(if *is_denial { "deny" } else { "error" })),
        Reply::Missing => (-1, None, Some("error")),
    };
    (marker.rc, marker.errno, marker.decision) = (Some(rc.into()), errno, decision.map(str::to_owned));
    marker
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::matrix::Verdict;
    use crate::probe::observation::{Exit, Markers, Observation, OpenedPath};
    use crate::probe::stage::{Kind, Outcome, outcome};

    /// A Mac that answers everything alike.
    struct Mac {
        code: i32,
        service: Option<i32>,
        setting: i32,
    }

    impl Calls for Mac {
        fn look_up(&self, _: &CStr) -> i32 {
            self.code
        }
        fn open_service(&self, _: &CStr) -> Option<i32> {
            self.service
        }
        fn read_setting(&self, _: &CStr) -> io::Result<()> {
            if self.setting == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(self.setting)) }
        }
    }

    const FREE: Mac = Mac { code: 0, service: Some(0), setting: 0 };
    const DENIED: Mac = Mac { code: 1100, service: Some(IO_RETURN_NOT_PERMITTED), setting: 1 };
    const ABSENT: Mac = Mac { code: 1102, service: None, setting: 2 };

    /// What a harness sees of it; `is_applied`: under a profile.
    fn seen(mac: &Mac, operation: &str, is_applied: bool) -> Observation {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut speaker = Speaker { file: Some(file.reopen().unwrap()) };
        if is_applied {
            speaker.say(&Marker::new(Tool::Apply, Step::Applied));
        }
        let code = match tried(&mut speaker, mac, operation, "a.name") {
            Ended::Done => 0,
            Ended::NotOpened => 2,
            other => panic!("{other:?}"),
        };
        Observation {
            runner: "service",
            starts_program: false,
            command: Vec::new(),
            exit: Exit::Code(code),
            stdout: String::new(),
            stderr: String::new(),
            dropped: 0,
            markers: Markers::read(&std::fs::read(file.path()).unwrap()),
            opened: OpenedPath::default(),
            milliseconds: 0,
        }
    }

    fn judged(scenario: &Mac, baseline: &Mac, operation: &str) -> Outcome {
        outcome(&seen(scenario, operation, true), Some(&seen(baseline, operation, false)), &[1], false)
    }

    const OPERATIONS: [&str; 3] = ["mach-lookup", "iokit-open-user-client", "sysctl-read"];

    #[test]
    fn a_denial_is_one_whether_or_not_it_is_an_errno() {
        for operation in OPERATIONS {
            assert_eq!(judged(&FREE, &FREE, operation).actual, Some(Verdict::Allow), "{operation}");
            let denied = judged(&DENIED, &FREE, operation);
            assert_eq!(denied.actual, Some(Verdict::Deny), "{operation}");
            // A return code of Mach or IOKit is never given out as an error number.
            assert_eq!(denied.errno, (operation == "sysctl-read").then_some(1), "{operation}");
        }
    }

    #[test]
    fn what_is_missing_or_fails_without_a_profile_says_nothing_about_it() {
        for operation in OPERATIONS {
            for baseline in [&ABSENT, &DENIED] {
                let outcome = judged(baseline, baseline, operation);
                assert_eq!((outcome.actual, outcome.kind), (None, Some(Kind::Ambient)), "{operation}");
            }
            // It went away in between: no denial.
            let outcome = judged(&ABSENT, &FREE, operation);
            assert_eq!((outcome.actual, outcome.kind), (None, Some(Kind::NonzeroExit)), "{operation}");
            // There, it is denied; without a profile it is missing: the profile is asked first.
            assert_eq!(judged(&DENIED, &ABSENT, operation).actual, Some(Verdict::Deny), "{operation}");
        }
    }

    #[test]
    fn names_that_no_service_has_are_never_asked_for() {
        let long = "x".repeat(MAX_NAME + 1);
        for (operation, name) in [
            ("mach-lookup", ""),
            ("mach-lookup", "a\0b"),
            ("mach-lookup", long.as_str()),
            ("sysctl-write", "kern.hostname"),
            ("file-read-data", "/"),
        ] {
            assert_eq!(
                tried(&mut Speaker { file: None }, &FREE, operation, name),
                Ended::Usage,
                "{operation} {name:?}"
            );
        }
        assert_eq!(tried(&mut Speaker { file: None }, &FREE, "sysctl-read", &long), Ended::Done);
        assert!(is_service("iokit-open-service") && !is_service("sysctl-write"));
    }
}
