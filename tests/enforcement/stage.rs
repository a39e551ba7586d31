//! In: what a test wants to happen under a policy. Out: [`Stage`], a scratch directory and ways to run this
//! binary there, with and without a policy, as one user or another; what it said. Never: calls of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The variable of the environment that says what this binary is to do.
pub const ACTION: &str = "SBTOOL_TEST_ACTION";

/// Nobody's number.
pub const NOBODY: u32 = 65_534;

/// Who runs a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the tests.
    Same,
    /// An ordinary user; only root can be somebody else.
    Nobody,
}

impl User {
    /// What a test is called by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same if is_root() => "root",
            Self::Same => "user",
            Self::Nobody => "nobody",
        }
    }
}

/// Whether this is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Those whom tests run as.
pub fn users() -> Vec<User> {
    if is_root() { vec![User::Same, User::Nobody] } else { vec![User::Same] }
}

/// Where programs are that everybody may run: the place that they were built in may be closed.
fn programs() -> &'static (TempDir, PathBuf, PathBuf) {
    static PROGRAMS: OnceLock<(TempDir, PathBuf, PathBuf)> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = open_folder();
        let copy = |from: &Path, name: &str| {
            let to = folder.path().join(name);
            fs::copy(from, &to).unwrap();
            to
        };
        let sbtool = copy(Path::new(env!("CARGO_BIN_EXE_sbtool")), "sbtool");
        let own = copy(&std::env::current_exe().unwrap(), "own");
        (folder, sbtool, own)
    })
}

fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Whether the kernel can do it.
pub fn is_supported() -> Result<(), String> {
    let (_, sbtool, _) = programs();
    let profile = "(version 1)(allow default)(deny file-read* (literal \"/nothing\"))";
    let output = Command::new(sbtool).args(["run", "-p", profile, "--", "true"]).output().unwrap();
    match output.status.code() {
        Some(71) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        _ => Ok(()),
    }
}

/// What a process said: a key and a value each line.
#[derive(Debug)]
pub struct Said {
    what: BTreeMap<String, String>,
    all: String,
}

impl Said {
    fn of(all: String) -> Self {
        let what = all.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into()));
        Self { what: what.collect(), all }
    }

    /// Its value of a key.
    pub fn get(&self, key: &str) -> &str {
        self.what.get(key).map_or_else(|| panic!("nothing said of {key}:\n{}", self.all), String::as_str)
    }

    /// That value, of something counted.
    pub fn count(&self, key: &str) -> usize {
        self.get(key).parse().unwrap()
    }

    /// Each key has that value.
    pub fn expect(&self, wanted: &[(&str, &str)]) {
        let wrong: Vec<String> = wanted
            .iter()
            .filter(|(key, value)| self.get(key) != *value)
            .map(|(key, value)| format!("{key}: wanted {value}, got {}", self.get(key)))
            .collect();
        assert!(wrong.is_empty(), "{}\nof\n{}", wrong.join("\n"), self.all);
    }

    /// All that was said.
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.what
    }
}

/// A place for a test: the directories `a` and `b` with a file `x` each, "allowed" and "secret".
pub struct Stage {
    folder: TempDir,
    name: &'static str,
    user: User,
}

impl Stage {
    /// Whether root tries it.
    pub fn is_by_root(&self) -> bool {
        self.user == User::Same && is_root()
    }

    /// A fresh one, for the attack of this name.
    pub fn new(name: &'static str, user: User) -> Self {
        let stage = Self { folder: open_folder(), name, user };
        stage.give(stage.folder.path());
        stage.folder_named("a");
        stage.folder_named("b");
        stage.file("a/x", "allowed");
        stage.file("b/x", "secret");
        stage
    }

    /// Its directory.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn give(&self, path: &Path) {
        if self.user == User::Nobody {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// A directory in it.
    pub fn folder_named(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        self.give(Path::new(&self.path(name)));
    }

    /// A file in it.
    pub fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.give(Path::new(&self.path(name)));
    }

    /// A program in it.
    pub fn program(&self, name: &str, from: &str) {
        fs::copy(from, self.path(name)).unwrap();
        self.give(Path::new(&self.path(name)));
    }

    /// A script in it.
    pub fn script(&self, name: &str, text: &str) {
        self.file(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A link in it.
    pub fn link(&self, name: &str, to: &str) {
        std::os::unix::fs::symlink(to, self.path(name)).unwrap();
    }

    /// Whose its files are.
    pub fn owner(&self) -> u32 {
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(self.path("a")).unwrap())
    }

    /// What a file of it holds.
    pub fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// A profile that allows all but these operations on `b`.
    pub fn but(&self, operations: &str) -> String {
        format!("(version 1)(allow default)(deny {operations} (subpath \"{}\"))", self.path("b"))
    }

    /// This binary, outside.
    pub fn outside(&self, arguments: &[String]) -> Command {
        let (_, _, own) = programs();
        self.command(own, &[], arguments)
    }

    /// This binary, under a policy.
    pub fn under(&self, profile: &str, arguments: &[String]) -> Command {
        let (_, sbtool, own) = programs();
        self.command(sbtool, &["run", "-p", profile, "--", own.to_str().unwrap()], arguments)
    }

    /// This binary, by its path.
    pub fn own_path() -> String {
        programs().2.to_str().unwrap().to_owned()
    }

    /// `sbtool`, by its path.
    pub fn sbtool_path() -> String {
        programs().1.to_str().unwrap().to_owned()
    }

    /// A program, as the user of this stage.
    pub fn command(&self, program: &Path, first: &[&str], arguments: &[String]) -> Command {
        let mut command = Command::new(program);
        command.args(first).args(arguments).env(ACTION, self.name).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        if self.user == User::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Runs it under a policy to its end.
    pub fn run(&self, profile: &str, arguments: &[&str]) -> Said {
        Self::ended(self.under(profile, &owned(arguments)))
    }

    /// Runs it outside to its end.
    pub fn run_free(&self, arguments: &[&str]) -> Said {
        Self::ended(self.outside(&owned(arguments)))
    }

    /// What a command said in the end.
    pub fn ended(mut command: Command) -> Said {
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        let all = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "ended with {}:\n{all}", output.status);
        Said::of(all)
    }

    /// A process outside, of the same user; it is there until it is dropped.
    pub fn victim(&self) -> Victim {
        let mut command = Command::new("sleep");
        command.arg("1000").current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if self.user == User::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        Victim(command.spawn().unwrap())
    }
}

/// Strings of one's own.
pub fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|text| (*text).to_owned()).collect()
}

/// A process that nobody may touch.
pub struct Victim(Child);

impl Victim {
    /// Its number.
    pub fn id(&self) -> String {
        self.0.id().to_string()
    }

    /// Whether it is there.
    pub fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that is talked to.
pub struct Talk {
    child: Child,
}

impl Talk {
    /// Starts a command.
    pub fn with(mut command: Command) -> Self {
        Self { child: command.stdin(Stdio::piped()).spawn().unwrap() }
    }

    /// Its next line.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        let out = self.child.stdout.as_mut().unwrap();
        while out.read(&mut byte).unwrap() == 1 && byte != [b'\n'] {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Lets it go on, and hears all of the rest.
    pub fn rest(mut self) -> Said {
        drop(self.child.stdin.take());
        let mut all = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut all).unwrap();
        let _ = self.child.wait();
        Said::of(all)
    }

    /// The process that was started.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}
