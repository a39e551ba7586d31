//! In: a number of calls. Out: how many of them got what the policy says; the first that did not. Never: a
//! use of `src/enforce` but by `sbtool run`; which operations a call asks is written in `asks` again.
//!
//! Each call is done without a policy and under one, in the same scratch directory; what it changed is
//! seen and put back outside. What the policy allows must get the same, with the same error and the same
//! changes; what it denies must get the error of a rule that denies it and change nothing. A call that
//! fails without a policy and is denied by one is set apart: either may decide, but it must fail.

mod asks;
mod calls;
mod dice;
mod inside;
mod profiles;
mod world;

use std::collections::BTreeMap;

use proptest::test_runner::TestRunner;
use sbtool::runtime::policy::Policy;
use sbtool::sbpl;
use sbtool::vocabulary::Release;

use super::stage::{Stage, User, is_root};
use calls::Call;
use dice::Dice;
pub use inside::inside;
use world::{Ports, World};

/// The release that `sbtool run` takes where none is said.
const RELEASE: &str = sbtool::vocabulary::DEFAULT_RELEASE;

/// Calls under one profile.
const AT_ONCE: usize = 100;

/// What a call got, and what it changed.
type Got = (String, String);

fn results(world: &mut World, mut command: std::process::Command, count: usize) -> Vec<Got> {
    use std::io::{BufRead, BufReader, Write};
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut out = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let Some((_, got)) = line.split_once('=') else { continue };
        out.push((got.to_owned(), world.changes()));
        if out.len() == count {
            break;
        }
        let _ = to.write_all(b"x");
    }
    drop(to);
    child.wait().unwrap();
    out
}

/// How often what was said of a kind of call.
#[derive(Default)]
struct Count {
    compared: usize,
    denied: usize,
    failed: usize,
    apart: usize,
}

/// What is wrong with what a call got, if anything is.
fn wrong(free: &Got, under: &Got, denials: &[String], count: &mut Count) -> Option<&'static str> {
    let fails = !free.0.starts_with("ok");
    if denials.is_empty() {
        count.compared += 1;
        count.failed += usize::from(fails);
        return (free != under).then_some("allowed, but not the same");
    }
    let is_denied = denials.contains(&under.0) && under.1.is_empty();
    if fails {
        count.apart += 1;
        return (!is_denied && free != under).then_some("denied or failing, but neither");
    }
    count.compared += 1;
    count.denied += 1;
    (!is_denied).then_some("denied, but not so")
}

/// Compares; `wanted` calls.
pub fn compare(wanted: usize, user: User) {
    let release = Release::named(RELEASE).unwrap();
    let mut runner = TestRunner::deterministic();
    // Other numbers for other users.
    let _ = Dice::new(&mut runner, usize::from(user == User::Nobody));
    let ports = Ports::new();
    let mut counts = BTreeMap::<&str, Count>::new();
    let mut disagreements = Vec::new();
    while counts.values().map(|count| count.compared).sum::<usize>() < wanted {
        let stage = Stage::new("random", user);
        let mut world = World::new(&stage, user);
        let victim = stage.victim();
        let root = stage.path("");
        let root = root.trim_end_matches('/');
        let profile = profiles::profile(&mut Dice::new(&mut runner, 400), &ports.all).replace('@', root);
        // The process in between is a root's where this one is, and others may not signal that.
        let between = user == User::Same && is_root();
        let calls: Vec<Call> =
            (0..AT_ONCE).map(|_| calls::call(&mut Dice::new(&mut runner, 40), &ports.all, between)).collect();
        let lines: Vec<String> = std::iter::once(victim.id()).chain(calls.iter().map(Call::written)).collect();
        let evaluated = sbpl::evaluate("random", profile.as_bytes(), &sbpl::Options::new(release))
            .unwrap_or_else(|error| panic!("{error:?}\n{profile}"));
        let policy = Policy::of_rules(evaluated.rules).unwrap();
        let denials: Vec<Vec<String>> = calls.iter().map(|call| asks::denials(&policy, release, root, call)).collect();
        let free = results(&mut world, stage.outside(&lines), calls.len());
        let under = results(&mut world, stage.under(&profile, &lines), calls.len());
        assert_eq!((free.len(), under.len()), (calls.len(), calls.len()), "{profile}");
        for (((call, free), under), denials) in calls.iter().zip(free).zip(under).zip(denials) {
            if let Some(wrong) = wrong(&free, &under, &denials, counts.entry(call.name).or_default()) {
                let call = call.written();
                let line = format!("{wrong}: {call}\n  free {free:?}\n  under {under:?}\n  denials {denials:?}");
                disagreements.push(format!("{line}\n  {profile}").replace(root, "@"));
            }
        }
    }
    let sum = |of: fn(&Count) -> usize| counts.values().map(of).sum::<usize>();
    let (compared, denied) = (sum(|count| count.compared), sum(|count| count.denied));
    let mut said = format!(
        "{}: {compared} calls compared ({denied} denied, {} allowed and failing alike), {} set apart, {} disagreements\n",
        user.name(),
        sum(|count| count.failed),
        sum(|count| count.apart),
        disagreements.len()
    );
    for (name, Count { compared, denied, failed, apart }) in &counts {
        said += &format!("  {name}: {compared} compared, {denied} denied, {failed} failing alike, {apart} set apart\n");
    }
    eprintln!("{said}");
    assert!(disagreements.is_empty(), "{}", disagreements.iter().take(50).cloned().collect::<Vec<_>>().join("\n"));
    assert!(denied * 20 > compared && denied < compared, "the profiles decide nothing");
}
