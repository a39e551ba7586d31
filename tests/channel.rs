//! A run by a job of launchd is the same run as a direct one, told apart by its channel alone; whatever goes
//! wrong, nothing is left behind.
//!
//! launchd is played by this test binary again, under the name `launchctl`: it takes a property list, starts what
//! that says, and sends it SIGTERM when it is booted out. What the real one does beside is not tried here
//! (docs/macos.md).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(unix)]
#[path = "channel/launchctl.rs"]
mod launchctl;

#[cfg(not(unix))]
fn main() {
    eprintln!("channel: skipped, this system has no launchd and nothing like it");
}

#[cfg(unix)]
fn main() {
    use libtest_mimic::{Arguments, Trial};

    let mut words = std::env::args();
    if words.next().is_some_and(|name| name.ends_with("/launchctl")) {
        std::process::exit(launchctl::main(&words.collect::<Vec<_>>()));
    }
    let arguments = Arguments::from_args();
    let trials = rounds::ALL.iter().map(|(name, trial)| {
        let trial = *trial;
        Trial::test(*name, move || {
            trial();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

#[cfg(unix)]
mod rounds {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use sbtool::probe::Plan;
    use sbtool::probe::channel::{self, ChannelError, Domain, Round, Settings};
    use sbtool::probe::matrix::Matrix;
    use sbtool::sbpl::Options;
    use sbtool::vocabulary::Release;
    use tempfile::TempDir;

    pub const ALL: &[(&str, fn())] = &[
        ("a job gives what a direct run gives", same_as_direct),
        ("a job is refused at the screen and goes to the background", background),
        ("a job that nobody takes", nobody),
        ("no launchctl", no_launchctl),
        ("a launchctl that hangs", hangs),
        ("a job that takes too long", too_long),
        ("a job that is interrupted cleans up", interrupted),
        ("a job that dies says how", dies),
        ("a status that is none", no_status),
        ("a profile that is missing", missing),
        ("a folder that is another's", foreign_root),
        ("profiles above their matrix", above),
    ];

    const MATRIX: &str = r#"{"world_id":"w","profiles":{"a":{"blob":"a.sb","mode":"sbpl","probes":[
        {"name":"one","operation":"file-read*","target":"/private/tmp/x","expected":"allow"},
        {"name":"two","operation":"file-write*","target":"/private/tmp/x","expected":"deny"}]}}}"#;
    const PROFILE: &str = "(version 1)(deny default)(allow file-read* (literal \"/private/tmp/x\"))";

    /// A folder with a matrix, and a launchd.
    struct Place {
        folder: TempDir,
        limit: Duration,
        program: PathBuf,
        stop: AtomicBool,
        matrix: &'static str,
        plan: &'static str,
    }

    impl Place {
        fn new() -> Self {
            let folder = TempDir::new().unwrap();
            let place = Self {
                limit: Duration::from_secs(60),
                program: env!("CARGO_BIN_EXE_sbtool").into(),
                stop: AtomicBool::new(false),
                matrix: MATRIX,
                plan: "plan",
                folder,
            };
            std::os::unix::fs::symlink(std::env::current_exe().unwrap(), place.at("launchctl")).unwrap();
            fs::create_dir(place.at("plan")).unwrap();
            fs::write(place.at("plan/a.sb"), PROFILE).unwrap();
            place
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// A program in place of sbtool.
        fn with_script(mut self, text: &str) -> Self {
            self.program = self.at("program");
            fs::write(&self.program, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&self.program, fs::Permissions::from_mode(0o755)).unwrap();
            self
        }

        fn run(&self) -> Result<Round, ChannelError> {
            let settings = Settings {
                launchctl: self.at("launchctl"),
                patience: Duration::from_secs(3),
                root: self.at("stages"),
                program: self.program.clone(),
                user: 501,
                limit: self.limit,
                stop: &self.stop,
            };
            let matrix = Matrix::read(self.matrix.as_bytes()).unwrap();
            let options = Options::new(Release::named("macos-14.4").unwrap());
            let folder = self.at(self.plan);
            let text = self.matrix.as_bytes();
            let plan = Plan { matrix: &matrix, text, folder: &folder, name: "m", options: &options };
            let arguments = ["--backend=evaluator".to_owned(), "--timeout=5".to_owned()];
            channel::run(&plan, "m.json", &arguments, &self.at("out"), &settings)
        }

        fn error(&self) -> ChannelError {
            self.run().expect_err("nothing comes of that")
        }

        /// That neither a stage nor a job is left.
        fn assert_clean(&self) {
            assert_eq!(fs::read_dir(self.at("stages")).map_or(0, Iterator::count), 0, "a stage is left");
            assert!(!super::launchctl::is_running(self.folder.path()), "the job is left");
        }

        fn calls(&self) -> String {
            fs::read_to_string(self.at("calls")).unwrap_or_default()
        }

        fn list(&self) -> plist::Dictionary {
            plist::Value::from_file(self.at("list")).unwrap().into_dictionary().unwrap()
        }
    }

    fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
        let mut out = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.file_name().unwrap().as_encoded_bytes().starts_with(b".") {
                    let name = path.strip_prefix(folder).unwrap().to_owned();
                    out.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
                }
            }
        }
        out
    }

    fn same_as_direct() {
        let place = Place::new();
        let round = place.run().unwrap();
        assert_eq!((round.status, round.domain), (0, Domain::Gui(501)), "{}", round.stderr);
        assert_eq!(round.unclean, None);
        assert!(round.stdout.contains("2 match") && !round.stdout.contains("stages"), "{}", round.stdout);
        assert!(round.stdout.ends_with(&format!("artifacts in {}\n", place.at("out").display())), "{}", round.stdout);
        place.assert_clean();

        fs::write(place.at("plan/m.json"), MATRIX).unwrap();
        let direct = Command::new(env!("CARGO_BIN_EXE_sbtool"))
            .args(["probe", "--out"])
            .arg(place.at("direct"))
            .arg(place.at("plan/m.json"))
            .output()
            .unwrap();
        assert_eq!(direct.status.code(), Some(0));
        let (mut job, mut direct) = (files(&place.at("out")), files(&place.at("direct")));
        assert_eq!(job.keys().collect::<Vec<_>>(), direct.keys().collect::<Vec<_>>());
        let manifest = |files: &mut BTreeMap<PathBuf, String>| -> serde_json::Value {
            serde_json::from_str(&files.remove(Path::new("run_manifest.json")).unwrap()).unwrap()
        };
        let (told, other) = (manifest(&mut job), manifest(&mut direct));
        assert_eq!((&told["channel"], &other["channel"]), (&"launchd_clean".into(), &"direct".into()));
        assert_eq!((&told["run_id"], &told["plan_id"]), (&other["run_id"], &other["plan_id"]));
        for name in ["runtime_results.json", "golden_decodes.json", "runtime_profiles/a.runtime.sb"] {
            assert_eq!(job.get(Path::new(name)).unwrap(), direct.get(Path::new(name)).unwrap(), "{name}");
        }
        let list = place.list();
        let label = list["Label"].as_string().unwrap();
        assert!(label.starts_with(&format!("sandbox-lore.runtime.{}.", told["run_id"].as_str().unwrap())), "{label}");
        assert_eq!(list["RunAtLoad"].as_boolean(), Some(true));
        assert!(!list.contains_key("KeepAlive") && !list.contains_key("LimitLoadToSessionType"));
        let variables = list["EnvironmentVariables"].as_dictionary().unwrap();
        assert_eq!(variables["SANDBOX_LORE_CHANNEL"].as_string(), Some("launchd_clean"));
        // Nothing of it is where the job may not read: neither the matrix nor this program.
        let words: Vec<_> =
            list["ProgramArguments"].as_array().unwrap().iter().map(|w| w.as_string().unwrap()).collect();
        let inside = place.at("stages").display().to_string();
        assert_eq!(words[..2], ["/bin/sh", "-c"]);
        assert!(
            words[3..].iter().filter(|word| word.starts_with('/')).all(|word| word.starts_with(&inside)),
            "{words:?}"
        );
    }

    fn background() {
        let place = Place::new();
        fs::write(place.at("refuse"), "gui/501").unwrap();
        let round = place.run().unwrap();
        assert_eq!((round.status, round.domain), (0, Domain::User(501)));
        assert_eq!(place.list()["LimitLoadToSessionType"].as_string(), Some("Background"));
        assert!(place.calls().contains("bootout user/501/sandbox-lore.runtime."), "{}", place.calls());
        place.assert_clean();
    }

    fn nobody() {
        let place = Place::new();
        fs::write(place.at("refuse"), "gui/501 user/501").unwrap();
        let error = place.error().to_string();
        for part in ["gui/501: Bootstrap failed: 5", "user/501: Bootstrap failed: 5"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!place.at("out").exists());
        place.assert_clean();
    }

    fn no_launchctl() {
        let place = Place::new();
        fs::remove_file(place.at("launchctl")).unwrap();
        assert!(matches!(place.error(), ChannelError::NotTaken(_)));
        place.assert_clean();
    }

    fn hangs() {
        let place = Place::new();
        fs::write(place.at("hang"), "").unwrap();
        let started = Instant::now();
        let error = place.error();
        assert!(matches!(error, ChannelError::NotTaken(_)), "{error}");
        assert!(started.elapsed() < Duration::from_secs(50));
        place.assert_clean();
    }

    fn too_long() {
        let mut place = Place::new().with_script("echo so far >&2; exec sleep 100");
        place.limit = Duration::from_secs(2);
        let error = place.error().to_string();
        assert!(error.contains("within 2 s") && error.ends_with("said last: so far"), "{error}");
        place.assert_clean();
    }

    fn interrupted() {
        let place = Place::new();
        let (began, cleaned) = (place.at("began"), place.at("cleaned"));
        let script = format!(
            "trap 'sleep 0.3; : >{}; exit 130' TERM; : >{}; while :; do sleep 0.05; done",
            cleaned.display(),
            began.display()
        );
        let place = place.with_script(&script);
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !began.exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                place.stop.store(true, Ordering::Relaxed);
            });
            place.error()
        });
        assert!(matches!(error, ChannelError::Interrupted), "{error}");
        assert!(cleaned.exists(), "the run had no time to clean up");
        place.assert_clean();
    }

    fn dies() {
        let place = Place::new().with_script("echo out; echo why >&2; kill -9 $$");
        let round = place.run().unwrap();
        assert_eq!((round.status, round.stdout.as_str()), (137, "out\n"));
        assert!(round.stderr.starts_with("why\n"), "{}", round.stderr);
        place.assert_clean();
    }

    fn no_status() {
        let place = Place::new().with_script("echo x >made; mv made status; exec sleep 100");
        assert!(matches!(place.error(), ChannelError::Status(text) if text == "x\n"));
        place.assert_clean();
    }

    fn missing() {
        let place = Place::new();
        fs::remove_file(place.at("plan/a.sb")).unwrap();
        assert!(matches!(place.error(), ChannelError::Probe(_)));
        assert!(!place.at("stages").exists() && place.calls().is_empty());
    }

    fn foreign_root() {
        let place = Place::new();
        fs::create_dir(place.at("stages")).unwrap();
        fs::set_permissions(place.at("stages"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(place.error(), ChannelError::Root { reason: "others may change it", .. }));
        fs::remove_dir(place.at("stages")).unwrap();
        fs::create_dir(place.at("elsewhere")).unwrap();
        std::os::unix::fs::symlink(place.at("elsewhere"), place.at("stages")).unwrap();
        assert!(matches!(place.error(), ChannelError::Root { reason: "it is not a folder", .. }));
        assert!(place.calls().is_empty());
    }

    fn above() {
        let mut place = Place::new();
        place.matrix = r#"{"world_id":"w","profiles":{
            "a":{"blob":"../../plan/a.sb","mode":"sbpl","probes":[
                {"name":"one","operation":"file-read*","target":"/private/tmp/x","expected":"allow"}]},
            "b":{"blob":"x/../b.sb","mode":"sbpl","probes":[]}}}"#;
        place.plan = "deep/er";
        fs::create_dir_all(place.at("deep/er/x")).unwrap();
        fs::write(place.at("deep/er/b.sb"), PROFILE).unwrap();
        let round = place.run().unwrap();
        assert!(round.stdout.contains("1 match"), "{}{}", round.stdout, round.stderr);
        place.assert_clean();
    }
}
