//! In: `sbtool run`, a C compiler, and, where they are there, Landlock and bubblewrap. Out: what a policy
//! costs: starting a process under it, a compiler's work, single calls. Never: part of CI.
//!
//! `cargo bench --bench enforcement`, with `-- starts`, `calls` or `compiles` for one of them, `ROUNDS=50` for
//! more rounds. What is compared is measured in
//! turn, round by round, so that a busy machine is so for all; the ratios are medians of the rounds'.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this system has no such kernel");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use landlock::{
        ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
        path_beneath_rules,
    };

    /// The variable of the environment that says what this binary is to do.
    const ACTION: &str = "SBTOOL_BENCH_ACTION";

    /// Denies something that the kernel's filter decides alone.
    const FILTER: &str = "(version 1)(allow default)(deny network*)";

    /// Has each opening, and each look at a file, decided by the supervisor.
    const SUPERVISED: &str = "(version 1)(allow default)(deny file-read* file-write* (subpath \"/no/such/folder\"))";

    /// Writes go to one folder: what Landlock and bubblewrap can say as well.
    const ONE_FOLDER: &str = "(version 1)(allow default)(deny file-write*)\
        (allow file-write* (subpath (param \"WORK\")))(allow file-write-data (literal \"/dev/null\"))";

    const SBTOOL: &str = env!("CARGO_BIN_EXE_sbtool");

    pub fn main() {
        if let Ok(action) = std::env::var(ACTION) {
            return inside(&action);
        }
        let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().to_str().unwrap();
        // `cargo bench` gives flags of its own.
        let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
        for (name, measure) in [("calls", calls as fn(&str, usize)), ("starts", starts), ("compiles", compiles)] {
            if is_wanted(name) {
                measure(work, rounds);
            }
        }
    }

    /// What a process does here: calls in a loop, or starting another program under Landlock.
    fn inside(action: &str) {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match action {
            "calls" => {
                let (path, count): (_, u32) = (&arguments[0], arguments[1].parse().unwrap());
                let per_call = |work: &dyn Fn()| {
                    let before = Instant::now();
                    (0..count).for_each(|_| work());
                    before.elapsed().as_nanos() / u128::from(count)
                };
                let opened = per_call(&|| drop(fs::File::open(path).unwrap()));
                let looked = per_call(&|| assert_ne!(rustix::fs::stat(path.as_str()).unwrap().st_mode, 0));
                let missing = per_call(&|| assert!(rustix::fs::stat("/usr/include/no/such/file").is_err()));
                let created = per_call(&|| {
                    drop(fs::File::create(format!("{path}.new")).unwrap());
                    fs::remove_file(format!("{path}.new")).unwrap();
                });
                println!("{opened} {looked} {missing} {created}");
            }
            _ => {
                restrict(&arguments[0]);
                let error = Command::new(&arguments[1]).args(&arguments[2..]).env_remove(ACTION).exec();
                panic!("{error}");
            }
        }
    }

    /// Lets this process write to one folder only, by Landlock.
    fn restrict(work: &str) {
        let abi = ABI::V3;
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))
            .unwrap()
            .create()
            .unwrap()
            .add_rules(path_beneath_rules(["/"], AccessFs::from_read(abi)))
            .unwrap()
            .add_rules(path_beneath_rules([work], AccessFs::from_all(abi)))
            .unwrap()
            .add_rule(PathBeneath::new(PathFd::new("/dev/null").unwrap(), AccessFs::from_file(abi)))
            .unwrap()
            .restrict_self()
            .unwrap();
        assert_ne!(status.ruleset, RulesetStatus::NotEnforced, "no Landlock");
    }

    /// A way to run a command.
    struct Way {
        name: &'static str,
        /// What stands before the command.
        before: Vec<String>,
        action: Option<&'static str>,
    }

    impl Way {
        fn command(&self, words: &[&str]) -> Command {
            let all: Vec<&str> = self.before.iter().map(String::as_str).chain(words.iter().copied()).collect();
            let mut command = Command::new(all[0]);
            command.args(&all[1..]).stdin(Stdio::null()).stderr(Stdio::inherit());
            if let Some(action) = self.action {
                command.env(ACTION, action);
            }
            command
        }
    }

    /// The ways that there are here.
    fn ways(work: &str) -> Vec<Way> {
        let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let way = |name, before: &[&str], action| Way {
            name,
            before: before.iter().map(|word| (*word).to_owned()).collect(),
            action,
        };
        let given = format!("WORK={work}");
        let all = vec![
            way("no sandbox", &[], None),
            way("sbtool, filter alone", &[SBTOOL, "run", "-p", FILTER, "--"], None),
            way("sbtool, writes to one folder", &[SBTOOL, "run", "-p", ONE_FOLDER, "-D", &given, "--"], None),
            way("sbtool, all files supervised", &[SBTOOL, "run", "-p", SUPERVISED, "--"], None),
            way("Landlock, writes to one folder", &[&own, work], Some("landlock")),
            way(
                "bubblewrap, writes to one folder",
                &["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--bind", work, work],
                None,
            ),
        ];
        let works = |way: &Way| {
            let ended = way.command(&["/bin/true"]).stderr(Stdio::null()).status();
            let works = ended.is_ok_and(|status| status.success());
            if !works {
                println!("skipped: {}, which does not work here", way.name);
            }
            works
        };
        all.into_iter().filter(works).collect()
    }

    fn time(mut command: Command) -> Duration {
        let before = Instant::now();
        assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{command:?}");
        before.elapsed()
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Prints, for each way, the median and the least of the times, and the median of its ratio to the first
    /// way's in the same round.
    fn print(what: &str, names: &[&str], rounds: &[Vec<f64>], unit: &str) {
        println!("\n{what}, {} rounds", rounds.len());
        for (number, name) in names.iter().enumerate() {
            let own: Vec<f64> = rounds.iter().map(|round| round[number]).collect();
            let ratio = median(rounds.iter().map(|round| round[number] / round[0]).collect());
            let least = own.iter().copied().fold(f64::INFINITY, f64::min);
            println!("  {name:<34} median {:>9.2} {unit}  least {least:>9.2} {unit}  ratio {ratio:.3}", median(own));
        }
    }

    fn in_turn(ways: &[Way], rounds: usize, run: impl Fn(&Way) -> f64) -> Vec<Vec<f64>> {
        // The first one does not count.
        (0..=rounds).map(|_| ways.iter().map(&run).collect()).skip(1).collect()
    }

    fn starts(work: &str, rounds: usize) {
        let ways = ways(work);
        let names: Vec<_> = ways.iter().map(|way| way.name).collect();
        let times = in_turn(&ways, rounds, |way| time(way.command(&["/bin/true"])).as_secs_f64() * 1e3);
        print("start of /bin/true, and its end", &names, &times, "ms");
    }

    fn calls(work: &str, rounds: usize) {
        let path = format!("{work}/file");
        fs::write(&path, "text").unwrap();
        let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let ways: Vec<Way> =
            ways(work).into_iter().filter(|way| way.name != "Landlock, writes to one folder").collect();
        let mut names: Vec<_> = ways.iter().map(|way| way.name).collect();
        let run = |way: &Way| -> Vec<f64> {
            let mut command = way.command(&[&own, &path, "1000"]);
            let output = command.env(ACTION, "calls").output().unwrap();
            assert!(output.status.success());
            let text = String::from_utf8(output.stdout).unwrap();
            text.split_whitespace().map(|number| number.parse::<f64>().unwrap() / 1e3).collect()
        };
        // Under Landlock a process of this binary restricts itself, then starts it again.
        let landlock = |_: &()| -> Option<Vec<f64>> {
            let shell = format!("{ACTION}=calls exec {own} {path} 1000");
            let output =
                Command::new(&own).args([work, "/bin/sh", "-c", &shell]).env(ACTION, "landlock").output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            (numbers.len() == 4).then(|| numbers.into_iter().map(|number| number / 1e3).collect())
        };
        let has_landlock = landlock(&()).is_some();
        if has_landlock {
            names.push("Landlock, writes to one folder");
        }
        let mut all: Vec<Vec<Vec<f64>>> = Vec::new();
        for _ in 0..rounds {
            let mut round: Vec<_> = ways.iter().map(run).collect();
            round.extend(landlock(&()));
            all.push(round);
        }
        for (number, what) in
            ["open and close", "stat", "stat of nothing", "create, close and remove"].into_iter().enumerate()
        {
            let times: Vec<Vec<f64>> =
                all.iter().map(|round| round.iter().map(|times| times[number]).collect()).collect();
            print(what, &names, &times, "µs");
        }
    }

    /// A source of some size: functions with loops, and the headers of the system.
    fn source() -> String {
        let function = |number: usize| {
            format!(
                "int f{number}(const char *text) {{ int sum = {number}; for (size_t at = 0; text[at]; at++) \
                 sum = sum * 31 + text[at] * {number}; printf(\"%d\\n\", sum); return sum % {}; }}\n",
                number + 7
            )
        };
        let functions: String = (0..60).map(function).collect();
        format!("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n{functions}")
    }

    fn compiles(work: &str, rounds: usize) {
        if !Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success()) {
            println!("skipped: compiles, there is no cc");
            return;
        }
        fs::write(Path::new(work).join("source.c"), source()).unwrap();
        let script = format!(
            "cd {work} && for i in 1 2 3 4 5 6 7 8 9 10; do TMPDIR={work} cc -O2 -c source.c -o $i.o || exit 1; done"
        );
        let ways = ways(work);
        let names: Vec<_> = ways.iter().map(|way| way.name).collect();
        let rounds = rounds.div_ceil(2);
        let times = in_turn(&ways, rounds, |way| time(way.command(&["/bin/sh", "-c", &script])).as_secs_f64() * 1e3);
        print("ten compiles", &names, &times, "ms");
    }
}
