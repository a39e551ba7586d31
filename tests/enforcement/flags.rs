//! In: the flags of `sbtool run`. Out: [`FLAGS`], that each does what its page says, with the shell and
//! other small programs of every system. Never: a system call of its own.
//!
//! What a shell says is lines of `NAME=STATUS`; see [`got`].

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::stage::{Stage, User};

/// A test: its name, and what it does.
pub type Flag = (&'static str, fn(&Stage, User));

/// All of them.
pub const FLAGS: &[Flag] = &[
    ("-n: no-write", no_write),
    ("-n: no-write-except-temporary", no_write_except_temporary),
    ("-n: no-network", no_network),
    ("-n: no-internet", no_internet),
    ("-n: pure-computation", pure_computation),
    ("-n: another name", another_name),
    ("-p, -f, -D and --blob", forms),
    ("--log: fields", log_fields),
    ("--log: report and no-report", log_reports),
    ("--log: it is added to", log_is_added_to),
    ("errno", errno),
    ("send-signal", send_signal),
    ("exit statuses", statuses),
    ("a command that cannot start", cannot_start),
    ("a bad profile", bad_profile),
    ("a policy within a policy", nested),
    ("who waits is not of the sandbox", who_waits),
    ("--mac-root: one file, all its spellings", mac_spellings),
    ("--mac-root: symlinks ask for metadata", mac_symlinks),
    ("--mac-root: nothing is seen outside", mac_is_apart),
];

/// Runs `sbtool run`; `@` is the scratch directory.
fn run(stage: &Stage, flags: &[&str], command: &[&str]) -> Output {
    let filled = |text: &&str| text.replace('@', stage.path("").trim_end_matches('/'));
    let mut words = vec!["run".to_owned()];
    words.extend(flags.iter().map(filled));
    words.push("--".to_owned());
    words.extend(command.iter().map(filled));
    let mut command = stage.command(Path::new(&Stage::sbtool_path()), &[], &words);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a line of shell for each name, and compares how each ended with what is wanted. A name may stand
/// for several lines, of which the statuses follow.
fn got(stage: &Stage, flags: &[&str], wanted: &[(&str, &str, i32)]) {
    let lines: String =
        wanted.iter().map(|(name, line, _)| format!("({line}) 2>&1; status=$?; echo; echo {name}=$status\n")).collect();
    let output = run(stage, flags, &["/bin/sh", "-c", &lines]);
    let out = text(&output.stdout);
    let wrong: Vec<String> = wanted
        .iter()
        .filter(|(name, _, status)| !out.lines().any(|line| line == format!("{name}={status}")))
        .map(|(name, line, status)| format!("{name} ({line}): wanted {status}"))
        .collect();
    assert!(wrong.is_empty(), "{flags:?}\n{}\nof\n{out}{}", wrong.join("\n"), text(&output.stderr));
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap())
}

fn log(stage: &Stage) -> Vec<Value> {
    let lines = stage.text("log").unwrap_or_default();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn no_write(stage: &Stage, _: User) {
    let wanted = [
        ("read", "cat @/a/x", 0),
        ("write", "echo more >>@/a/x", 2),
        ("create", "echo new >@/a/new", 2),
        ("remove", "rm -f @/a/x", 1),
        ("mode", "chmod 600 @/a/x", 1),
        ("null", "echo nothing >/dev/null", 0),
        ("child", "sh -c 'exit 3'", 3),
    ];
    got(stage, &["-n", "no-write"], &shells(&wanted));
    assert_eq!(stage.text("a/x").as_deref(), Some("allowed"));
}

/// A shell ends with 1 or 2 where it cannot open a file; each is written as 2 here.
fn shells<'a>(wanted: &[(&'a str, &'a str, i32)]) -> Vec<(&'a str, &'a str, i32)> {
    let failed = cannot_open();
    wanted.iter().map(|(name, line, code)| (*name, *line, if *code == 2 { failed } else { *code })).collect()
}

/// What this system's shell ends with where it cannot open a file.
fn cannot_open() -> i32 {
    let output = std::process::Command::new("/bin/sh").args(["-c", "(echo x >/no/such/file) 2>&1"]).output().unwrap();
    output.status.code().unwrap()
}

fn no_write_except_temporary(stage: &Stage, _: User) {
    let name = format!("sbtool-test-{}-{}", std::process::id(), stage.owner());
    let create = format!("echo new >/tmp/{name}");
    let remove = format!("rm /tmp/{name}");
    let folder = format!("mkdir /var/tmp/{name} && rmdir /var/tmp/{name}");
    // Everybody may write there, and no profile calls it temporary.
    let other = format!("echo new >/dev/shm/{name}");
    let wanted = [
        ("create", create.as_str(), 0),
        ("remove", remove.as_str(), 0),
        ("folder", folder.as_str(), 0),
        ("other", other.as_str(), 2),
        ("null", "echo nothing >/dev/null", 0),
    ];
    got(stage, &["-n", "no-write-except-temporary"], &shells(&wanted));
    if Path::new("/dev/shm").exists() {
        got(stage, &FREE, &[("other", &other, 0)]);
        fs::remove_file(format!("/dev/shm/{name}")).unwrap();
    }
}

/// A program that connects: the shell cannot.
const PYTHON: &str = "/usr/bin/python3";

fn has_python() -> bool {
    let there = Path::new(PYTHON).exists();
    if !there {
        eprintln!("skipped, {PYTHON} is not there");
    }
    there
}

/// What a profile says to sockets by port and by path: exit status 0 where it connects, 3 where it may not.
fn connects(stage: &Stage, flags: &[&str], by_port: i32, by_path: i32) {
    if !has_python() {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let path = std::os::unix::net::UnixListener::bind(stage.path("listener")).unwrap();
    fs::set_permissions(stage.path("listener"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let program = "import socket, sys\ntry:\n  s = socket.socket(getattr(socket, sys.argv[1]), socket.SOCK_STREAM)\n  s.connect(eval(sys.argv[2]))\nexcept PermissionError:\n  sys.exit(3)\n";
    let connect = |flags: &[&str], family: &str, address: &str| {
        let output = run(stage, flags, &[PYTHON, "-c", program, family, address]);
        assert!(matches!(status(&output), 0 | 3), "{}", text(&output.stderr));
        status(&output)
    };
    let address = format!("('127.0.0.1', {})", port.local_addr().unwrap().port());
    let free = ["-p", "(version 1)(allow default)"];
    assert_eq!((connect(&free, "AF_INET", &address), connect(&free, "AF_UNIX", "'@/listener'")), (0, 0));
    assert_eq!(connect(flags, "AF_INET", &address), by_port);
    assert_eq!(connect(flags, "AF_UNIX", "'@/listener'"), by_path);
    drop((port, path));
}

fn no_network(stage: &Stage, _: User) {
    got(stage, &["-n", "no-network"], &[("write", "echo new >@/a/new", 0), ("read", "cat @/a/new", 0)]);
    connects(stage, &["-n", "no-network"], 3, 3);
}

fn no_internet(stage: &Stage, _: User) {
    got(stage, &["-n", "no-internet"], &[("write", "echo new >@/a/new", 0)]);
    connects(stage, &["-n", "no-internet"], 3, 0);
}

fn pure_computation(stage: &Stage, _: User) {
    // It may not even start a program; so it is for `sandbox_init`.
    let output = run(stage, &["-n", "pure-computation"], &["/bin/sh", "-c", "echo started"]);
    assert_eq!((status(&output), text(&output.stdout)), (71, String::new()));
    assert!(text(&output.stderr).contains("/bin/sh: Operation not permitted"), "{}", text(&output.stderr));
}

fn another_name(stage: &Stage, _: User) {
    let output = run(stage, &["-n", "no-such-profile"], &["/bin/sh", "-c", "echo started"]);
    assert_eq!((status(&output), text(&output.stdout)), (65, String::new()));
}

fn forms(stage: &Stage, _: User) {
    let profile = "(version 1)(allow default)(deny file-read-data (literal (param \"SECRET\")))";
    stage.file("p.sb", profile);
    let wanted = [("read", "cat @/b/x", 1), ("other", "cat @/a/x", 0)];
    got(stage, &["-p", profile, "-D", "SECRET=@/b/x"], &wanted);
    got(stage, &["-f", "@/p.sb", "-D", "SECRET=@/b/x"], &wanted);
    // Another parameter is another policy.
    got(stage, &["-f", "@/p.sb", "-D", "SECRET=@/a/x"], &[("read", "cat @/b/x", 0), ("other", "cat @/a/x", 1)]);
    let secret = format!("SECRET={}", stage.path("b/x"));
    let blob = ["compile", "p.sb", "-o", "p.blob", "-D", &secret].map(str::to_owned);
    let output = stage.command(Path::new(&Stage::sbtool_path()), &[], &blob).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    got(stage, &["--blob", "@/p.blob"], &wanted);
    got(stage, &["-f", "@/p.blob"], &wanted);
    // Two of them say two things.
    let output = run(stage, &["-f", "@/p.sb", "-p", profile], &["/bin/sh", "-c", "echo started"]);
    assert_eq!((status(&output), text(&output.stdout)), (64, String::new()));
}

fn log_fields(stage: &Stage, _: User) {
    stage.file("p.sb", "(version 1)\n(allow default)\n (deny file-read-data (literal (param \"SECRET\")))\n");
    let flags = ["-f", "@/p.sb", "-D", "SECRET=@/b/x", "--log", "@/log"];
    got(stage, &flags, &[("read", "cat @/b/x", 1), ("other", "cat @/a/x", 0), ("shell", "echo $$ >@/shell", 0)]);
    let log = log(stage);
    assert_eq!(log.len(), 1, "{log:?}");
    let fields: Vec<&str> = log[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["operation", "subject", "verdict", "by", "rule", "process", "name"]);
    assert_eq!(log[0]["operation"], "file-read-data");
    assert_eq!(log[0]["subject"], stage.path("b/x"));
    assert_eq!(log[0]["verdict"], "deny");
    assert_eq!(log[0]["by"], "rule");
    assert_eq!(log[0]["name"], "cat");
    let process = log[0]["process"].as_u64().unwrap();
    assert_ne!(process.to_string(), stage.text("shell").unwrap().trim(), "a child of the shell");
    let rule = &log[0]["rule"];
    assert_eq!(rule["file"], stage.path("p.sb"));
    assert_eq!((rule["line"].as_u64(), rule["column"].as_u64()), (Some(3), Some(2)));
    assert!(rule["text"].as_str().unwrap().starts_with("(deny file-read-data"), "{rule}");
}

fn log_reports(stage: &Stage, _: User) {
    let profile = "(version 1)(allow default)\
        (deny file-read-data (literal \"@/b/x\") (with no-report))\
        (deny file-write-create (subpath \"@/b\"))\
        (deny file-write-unlink)\
        (deny file-write-mode (with no-report))\
        (allow file-read-data (with report) (literal \"@/a/x\"))";
    let wanted = shells(&[
        ("silent", "cat @/b/x", 1),
        ("told", "echo new >@/b/new", 2),
        ("always", "rm -f @/a/x", 1),
        ("silent always", "chmod 600 @/a/x", 1),
        ("reported", "cat @/a/x", 0),
    ]);
    got(stage, &["-p", profile, "--log", "@/log"], &wanted);
    let log: Vec<(String, String, String)> = log(stage)
        .iter()
        .map(|line| ["operation", "subject", "verdict"].map(|name| line[name].as_str().unwrap().to_owned()))
        .map(|[operation, subject, verdict]| (operation, subject, verdict))
        .collect();
    let line = |operation: &str, name: &str, verdict: &str| (operation.into(), stage.path(name), verdict.into());
    let wanted = vec![
        line("file-write-create", "b/new", "deny"),
        line("file-write-unlink", "a/x", "deny"),
        line("file-read-data", "a/x", "allow"),
    ];
    assert_eq!(log, wanted);
    // Without a log the same is denied.
    got(stage, &["-p", profile], &[("silent", "cat @/b/x", 1), ("always", "rm -f @/a/x", 1)]);
}

fn log_is_added_to(stage: &Stage, _: User) {
    stage.file("log", "{\"operation\": \"before\"}\n");
    let profile = "(version 1)(allow default)(deny file-read-data (literal \"@/b/x\"))";
    got(stage, &["-p", profile, "--log", "@/log"], &[("read", "cat @/b/x", 1)]);
    let names: Vec<_> = log(stage).iter().map(|line| line["operation"].clone()).collect();
    assert_eq!(names, ["before", "file-read-data"]);
    let output = run(stage, &["-p", profile, "--log", "@/no/such/log"], &["/bin/sh", "-c", "echo started"]);
    assert_eq!((status(&output), text(&output.stdout)), (73, String::new()));
}

fn errno(stage: &Stage, _: User) {
    let profile = "(version 1)(allow default)\
        (deny file-read-data (literal \"@/b/x\") (with errno ENOENT))\
        (deny file-read-data (literal \"@/a/x\") (with errno EACCES))\
        (deny file-write-unlink (with errno EROFS) (with no-report))\
        (deny file-write-create (subpath \"@/b\") (with errno EAGAIN))";
    let says = |flags: &[&str], line: &str| text(&run(stage, flags, &["/bin/sh", "-c", line]).stdout);
    let flags = ["-p", profile];
    let message = says(&flags, "LC_ALL=C cat @/b/x 2>&1");
    assert!(message.contains("No such file or directory"), "{message}");
    let message = says(&flags, "LC_ALL=C cat @/a/x 2>&1");
    assert!(message.contains("Permission denied"), "{message}");
    // The filter says this one alone.
    let message = says(&flags, "LC_ALL=C rm -f @/a/x 2>&1");
    assert!(message.contains("Read-only file system"), "{message}");
    // A Mac's number is another one than this system's.
    let message = says(&flags, "LC_ALL=C mkdir @/b/new 2>&1");
    assert!(message.contains("Resource temporarily unavailable"), "{message}");
}

fn send_signal(stage: &Stage, _: User) {
    let profile = |action: &str, signal: &str| {
        format!("(version 1)(allow default)({action} file-read-data (literal \"@/b/x\") (with send-signal {signal}))")
    };
    // 10 is SIGBUS on a Mac, 30 its SIGUSR1: the names count.
    for (signal, number) in [("SIGKILL", libc::SIGKILL), ("SIGBUS", libc::SIGBUS), ("SIGUSR1", libc::SIGUSR1)] {
        let output = run(stage, &["-p", &profile("deny", signal)], &["/bin/cat", "@/b/x"]);
        assert_eq!((output.status.signal(), text(&output.stdout)), (Some(number), String::new()), "{signal}");
    }
    // Who handles it gets the error then.
    let line = "trap 'echo got it' USR1; read line <@/b/x; echo $?";
    let output = run(stage, &["-p", &profile("deny", "SIGUSR1")], &["/bin/sh", "-c", line]);
    let out = text(&output.stdout);
    assert!(out.starts_with("got it\n") && !out.ends_with("\n0\n"), "{out}");
    // What is allowed is done, and sent as well.
    let output = run(
        stage,
        &["-p", &profile("allow", "SIGUSR1")],
        &["/bin/sh", "-c", "trap 'echo got it' USR1; read line <@/b/x; echo $line"],
    );
    assert_eq!(text(&output.stdout), "got it\nsecret\n");
    // Nobody else's file.
    let output = run(stage, &["-p", &profile("deny", "SIGKILL")], &["/bin/cat", "@/a/x"]);
    assert_eq!((status(&output), text(&output.stdout).as_str()), (0, "allowed"));
    // Also where the filter could say it alone.
    let flags = ["-p", "(version 1)(allow default)(deny file-write-unlink (with send-signal SIGKILL))"];
    let output = run(stage, &flags, &["/bin/rm", "-f", "@/a/x"]);
    assert_eq!(output.status.signal(), Some(libc::SIGKILL));
    assert_eq!(stage.text("a/x").as_deref(), Some("allowed"));
}

const FREE: [&str; 2] = ["-p", "(version 1)(allow default)"];

fn statuses(stage: &Stage, _: User) {
    for (line, wanted) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("exit 71", 71)] {
        let output = run(stage, &FREE, &["/bin/sh", "-c", line]);
        assert_eq!(output.status.code(), Some(wanted), "{line}");
    }
    // A signal ends sbtool as it ended the command, for whoever waits.
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, libc::SIGPIPE] {
        let output = run(stage, &FREE, &["/bin/sh", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(output.status.signal(), Some(signal));
    }
    // A shell sees 128 and the signal.
    let line =
        format!("{} run -p '(version 1)(allow default)' -- /bin/sh -c 'kill -9 $$'; echo $?", Stage::sbtool_path());
    let output = stage.command(Path::new("/bin/sh"), &["-c"], &[line]).output().unwrap();
    assert_eq!(text(&output.stdout), "137\n");
    // What is left behind is not waited for.
    let started = std::time::Instant::now();
    let output = run(stage, &FREE, &["/bin/sh", "-c", "sleep 20 >/dev/null 2>&1 & echo $!; exit 5"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(started.elapsed().as_secs() < 15);
    let left: i32 = text(&output.stdout).trim().parse().unwrap();
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(left).unwrap(), rustix::process::Signal::KILL);
    // Input and output are its own.
    let output = run(stage, &FREE, &["/bin/sh", "-c", "echo out; echo error >&2"]);
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("out\n", "error\n"));
}

fn cannot_start(stage: &Stage, _: User) {
    stage.file("text", "no program");
    let deny = "(version 1)(allow default)(deny process-exec* (literal \"/usr/bin/env\") (literal \"/bin/env\"))";
    for (flags, program, reason) in [
        (FREE, "@/no/such/program", "No such file or directory"),
        (FREE, "no-such-program-anywhere", "No such file or directory"),
        (FREE, "@/text", "Permission denied"),
        (FREE, "@/a", "Permission denied"),
        (["-p", deny], "/usr/bin/env", "Operation not permitted"),
    ] {
        let output = run(stage, &flags, &[program]);
        let error = text(&output.stderr);
        assert_eq!((status(&output), text(&output.stdout)), (71, String::new()), "{program}: {error}");
        assert!(error.contains(reason), "{program}: {error}");
    }
    // What a shell under the policy cannot start is the shell's to say.
    got(stage, &["-p", deny], &[("denied", "/usr/bin/env", 126), ("missing", "@/no/such/program", 127)]);
}

fn bad_profile(stage: &Stage, _: User) {
    stage.file("bad.sb", "(version 1)\n(allow nonsense)\n");
    stage.file("bad.blob", "\0\0nothing of a blob");
    for (flags, wanted) in [
        (["-f", "@/bad.sb"], 65),
        (["-p", "(allow"], 65),
        (["-p", "(version 1)(deny default (subpath (param \"MISSING\")))"], 65),
        (["--blob", "@/bad.blob"], 65),
        (["-f", "@/no/such.sb"], 66),
    ] {
        let output = run(stage, &flags, &["/bin/sh", "-c", "echo started"]);
        assert_eq!((status(&output), text(&output.stdout)), (wanted, String::new()), "{flags:?}");
        assert!(!output.stderr.is_empty());
    }
}

fn nested(stage: &Stage, _: User) {
    let inner = format!("{} run -p '(version 1)(allow default)' -- /bin/sh -c 'echo inner' 2>&1", Stage::sbtool_path());
    for profile in [
        "(version 1)(allow default)",
        "(version 1)(allow default)(deny network*)",
        "(version 1)(allow default)(deny file-read-data (literal \"@/b/x\"))",
    ] {
        let output = run(stage, &["-p", profile], &["/bin/sh", "-c", &format!("{inner}; echo $?")]);
        let out = text(&output.stdout);
        assert!(out.contains("Operation not permitted") && out.ends_with("\n71\n"), "{profile}: {out}");
        assert!(!out.contains("inner"), "{out}");
    }
}

fn who_waits(stage: &Stage, _: User) {
    let profile = "(version 1)(allow default)(deny signal)(allow signal (target same-sandbox))";
    let wanted = [
        ("parent", "kill -s 0 $PPID", 1),
        ("child", "sleep 100 & kill $! && wait $!", 143),
        ("self", "kill -s 0 $$", 0),
    ];
    got(stage, &["-p", profile], &wanted);
}

/// Whether this user may have a root of its own.
fn has_mac_root(stage: &Stage) -> bool {
    let output = run(stage, &["-p", "(version 1)(allow default)", "--mac-root"], &["/bin/sh", "-c", "exit 0"]);
    if status(&output) == 71 {
        eprintln!("--mac-root: skipped, {}", text(&output.stderr).trim());
    }
    status(&output) != 71
}

/// A folder in the host's /tmp, with a file.
struct Temporary(tempfile::TempDir);

impl Temporary {
    fn new(user: User) -> Self {
        let folder = tempfile::Builder::new().prefix("sbtool-test-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("x"), "of a Mac").unwrap();
        if user == User::Nobody {
            for path in [folder.path().to_owned(), folder.path().join("x")] {
                std::os::unix::fs::chown(path, Some(super::stage::NOBODY), Some(super::stage::NOBODY)).unwrap();
            }
        }
        Self(folder)
    }

    /// Its path from the root, without a slash before.
    fn name(&self) -> &str {
        self.0.path().to_str().unwrap().trim_start_matches('/')
    }
}

fn mac_spellings(stage: &Stage, user: User) {
    if !has_mac_root(stage) {
        return;
    }
    let temporary = Temporary::new(user);
    let name = temporary.name();
    let spellings =
        [format!("/{name}/x"), format!("/private/{name}/x"), format!("/System/Volumes/Data/private/{name}/x")];
    let lines: Vec<String> = spellings.iter().map(|path| format!("cat {path}")).collect();
    let all = |status: i32| -> Vec<(&str, &str, i32)> {
        ["short", "private", "data"].into_iter().zip(&lines).map(|(name, line)| (name, line.as_str(), status)).collect()
    };
    let denies = |path: &str| format!("(version 1)(allow default)(deny file-read-data (literal \"{path}\"))");
    // A rule is about the file's own path, whatever it is asked by; the other spellings name nothing.
    got(stage, &["--mac-root", "-p", &denies(&spellings[1])], &all(1));
    got(stage, &["--mac-root", "-p", &denies(&spellings[0])], &all(0));
    got(stage, &["--mac-root", "-p", &denies(&spellings[2])], &all(0));
    // Without it the host's paths count.
    got(stage, &["-p", &denies(&spellings[0])], &[("short", &lines[0], 1)]);
    got(stage, &["-p", &denies(&spellings[1])], &[("short", &lines[0], 0)]);
    // /etc and /var are as /tmp.
    let etc = denies("/private/etc/passwd");
    got(
        stage,
        &["--mac-root", "-p", &etc],
        &[("short", "cat /etc/passwd", 1), ("private", "cat /private/etc/passwd", 1), ("other", "cat /etc/group", 0)],
    );
    let var = "(version 1)(allow default)(deny file-read-data (subpath \"/private/var\"))";
    got(
        stage,
        &["--mac-root", "-p", var],
        &[("list", "ls /var/", 2), ("data", "ls /System/Volumes/Data/private/var", 2)],
    );
    got(stage, &["--mac-root", "-p", &var.replace("/private", "")], &[("list", "ls /var/", 0)]);
    // In a log it is the file's own path.
    let flags = ["--mac-root", "-p", &denies(&spellings[1]), "--log", "@/log"];
    got(stage, &flags, &all(1));
    let subjects: Vec<_> = log(stage).iter().map(|line| line["subject"].clone()).collect();
    assert_eq!(subjects, vec![Value::from(spellings[1].as_str()); 3]);
}

fn mac_symlinks(stage: &Stage, user: User) {
    if !has_mac_root(stage) {
        return;
    }
    let temporary = Temporary::new(user);
    let name = temporary.name();
    let (short, private) = (format!("cat /{name}/x"), format!("cat /private/{name}/x"));
    // A profile of the usual form: what a program needs, and one file by its own path.
    let profile = |more: &str| {
        format!(
            "(version 1)(allow default)(deny file-read* (subpath \"/private/tmp\") (literal \"/tmp\"))\
             (allow file-read* (literal \"/private/{name}/x\")){more}"
        )
    };
    got(stage, &["--mac-root", "-p", &profile("")], &[("short", &short, 1), ("private", &private, 0)]);
    let metadata = "(allow file-read-metadata (literal \"/tmp\"))";
    got(stage, &["--mac-root", "-p", &profile(metadata)], &[("short", &short, 0), ("private", &private, 0)]);
    // Not the metadata of where it leads.
    let metadata = "(allow file-read-metadata (literal \"/private/tmp\"))";
    got(stage, &["--mac-root", "-p", &profile(metadata)], &[("short", &short, 1), ("private", &private, 0)]);
}

fn mac_is_apart(stage: &Stage, user: User) {
    if !has_mac_root(stage) {
        return;
    }
    let temporary = Temporary::new(user);
    let before = fs::read_to_string("/proc/mounts").unwrap();
    let write = format!("echo written >/private/{}/new", temporary.name());
    let wanted = [
        ("write", write.as_str(), 0),
        ("link", "test \"$(readlink /tmp)\" = private/tmp", 0),
        ("etc", "test \"$(readlink /etc)\" = private/etc", 0),
        ("var", "test \"$(readlink /var)\" = private/var", 0),
        ("directory", "test -f a/x", 0),
        ("user", "test $(id -u) = $(stat -c %u a/x)", 0),
    ];
    got(stage, &["--mac-root", "-p", "(version 1)(allow default)(deny file-write* (subpath \"@/b\"))"], &wanted);
    assert_eq!(fs::read_to_string(temporary.0.path().join("new")).unwrap(), "written\n");
    assert_eq!(fs::read_to_string("/proc/mounts").unwrap(), before);
    assert!(!Path::new("/private").exists() || cfg!(target_os = "macos"));
}
