//! A policy under which a process runs holds: attacks on it fail, what it allows works (`attacks`), what
//! random calls get is what the policy says (`random`), programs of the host do their work under a profile
//! for them and nothing else (`programs`), and `sbtool run` does what its flags say (`flags`).
//!
//! The processes under a policy are this test binary again, told by its environment what to do, started
//! by `sbtool run` as a user would. As root all of it runs a second time as an ordinary user. Where the
//! kernel has no user notification nothing runs, and says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(target_os = "linux")]
#[path = "enforcement/attacks/mod.rs"]
mod attacks;
#[cfg(target_os = "linux")]
#[path = "enforcement/flags.rs"]
mod flags;
#[cfg(target_os = "linux")]
#[path = "enforcement/programs.rs"]
mod programs;
#[cfg(target_os = "linux")]
#[path = "enforcement/random/mod.rs"]
mod random;
#[cfg(target_os = "linux")]
#[path = "enforcement/stage.rs"]
mod stage;
#[cfg(target_os = "linux")]
#[path = "enforcement/system.rs"]
mod system;

#[cfg(target_os = "linux")]
fn main() {
    use libtest_mimic::{Arguments, Trial};
    use stage::{ACTION, Stage};

    if let Ok(action) = std::env::var(ACTION) {
        return if action == "random" { random::inside() } else { attacks::inside(&action) };
    }
    let arguments = Arguments::from_args();
    if let Err(reason) = stage::is_supported() {
        eprintln!("enforcement: skipped, {reason}");
        return;
    }
    let mut trials = Vec::new();
    for user in stage::users() {
        for attack in attacks::ATTACKS.iter().filter(|attack| attack.fits(user)) {
            let name = format!("{} as {}", attack.name, user.name());
            let trial = Trial::test(name, move || {
                (attack.outside)(&Stage::new(attack.name, user));
                Ok(())
            });
            trials.push(trial);
        }
        for (name, does) in flags::FLAGS {
            trials.push(Trial::test(format!("{name} as {}", user.name()), move || {
                does(&Stage::new("flag", user), user);
                Ok(())
            }));
        }
        for program in programs::PROGRAMS {
            trials.push(Trial::test(format!("{} as {}", program.name, user.name()), move || {
                programs::run(program, &|| Stage::new("program", user));
                Ok(())
            }));
        }
    }
    // More by SBTOOL_ENFORCED=20000.
    let wanted = std::env::var("SBTOOL_ENFORCED").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    for user in stage::users() {
        trials.push(Trial::test(format!("random calls as {}", user.name()), move || {
            random::compare(wanted, user);
            Ok(())
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("enforcement: skipped, this system has no such kernel");
}
