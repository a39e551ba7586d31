//! In: programs of the host, a profile in the form of those for coding agents (`programs/workspace.sb`).
//! Out: that they do their work under it, and nothing else; what they were denied, with the rule. Never: a
//! system call of its own.
//!
//! Each step is done without a policy first, so what fails under it fails by it. Denials about the scratch
//! directory are the same on every machine and are compared; those about the host are printed.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::stage::Stage;

/// Where programs are looked for: everybody may run those.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What nobody under the policy may learn.
const SECRET: &str = "a secret of the home";

/// The rules that deny here, by their first words.
const ALL: &str = "(deny default";
const KEPT: &str = "(deny file-write*";
const KEYS: &str = "(deny file-read* file-write*";
const NETWORK: &str = "(deny network*";

/// Work of a program. `@` is the scratch directory, `#` a port of this host that is open.
struct Step {
    command: &'static [&'static str],
    /// Whether it works under the policy; without one it does.
    works: bool,
    /// What it prints, in part.
    says: &'static str,
    /// Operation, path in the scratch directory or address, and rule of each denial.
    denied: &'static [(&'static str, &'static str, &'static str)],
}

/// A program with what it does.
pub struct Program {
    /// What a test is called by.
    pub name: &'static str,
    needs: &'static [&'static str],
    steps: &'static [Step],
}

/// All of them.
pub const PROGRAMS: &[Program] = &[
    Program {
        name: "git clones a repository",
        needs: &["git"],
        steps: &[
            Step {
                command: &["git", "clone", "--quiet", "@/source", "clone"],
                works: true,
                says: "",
                // It would link the objects of the source; it copies them then.
                denied: &[("file-write-data", "source/.git/objects/*", ALL)],
            },
            Step { command: &["git", "-C", "clone", "fsck", "--strict"], works: true, says: "", denied: &[] },
            Step {
                command: &["git", "-C", "clone", "commit", "--quiet", "--allow-empty", "-m", "more"],
                works: true,
                says: "",
                denied: &[],
            },
            Step {
                command: &["git", "-C", "clone", "log", "--format=%s"],
                works: true,
                says: "more\nfirst",
                denied: &[],
            },
            Step {
                command: &["git", "clone", "--quiet", "@/source", "@/outside/clone"],
                works: false,
                says: "",
                denied: &[("file-write-create", "outside/clone", ALL)],
            },
            // The configuration of the project itself, which could name programs to run.
            Step {
                command: &["git", "config", "core.pager", "evil"],
                works: false,
                says: "",
                denied: &[("file-write-create", "project/.git/config", KEPT)],
            },
            Step {
                command: &["git", "-C", "clone", "push", "--quiet", "origin", "HEAD:refs/heads/other"],
                works: false,
                says: "",
                denied: &[("file-write-create", "source/.git/objects/*", ALL)],
            },
        ],
    },
    Program {
        name: "a C compiler compiles and links",
        needs: &["cc"],
        steps: &[
            Step { command: &["cc", "-O1", "-c", "hello.c", "-o", "hello.o"], works: true, says: "", denied: &[] },
            Step { command: &["cc", "hello.o", "-o", "hello"], works: true, says: "", denied: &[] },
            Step { command: &["./hello"], works: true, says: "hello from C", denied: &[] },
            Step {
                command: &["cc", "hello.o", "-o", "@/outside/hello"],
                works: false,
                says: "",
                denied: &[("file-write-create", "outside/hello", ALL)],
            },
            // A compiler shows the lines that it does not understand.
            Step {
                command: &["cc", "-E", "-include", "@/home/.ssh/id", "hello.c"],
                works: false,
                says: "",
                denied: &[("file-read-data", "home/.ssh/id", KEYS)],
            },
        ],
    },
    Program {
        name: "python makes an environment",
        needs: &["python3"],
        steps: &[
            Step { command: &["python3", "-m", "venv", "--without-pip", "venv"], works: true, says: "", denied: &[] },
            Step {
                command: &[
                    "venv/bin/python",
                    "-c",
                    "import sys, json, subprocess, tempfile\nf = tempfile.TemporaryFile()\nprint(sys.prefix)\nprint(subprocess.check_output(['echo', 'a child']))",
                ],
                works: true,
                says: "/project/venv\nb'a child",
                denied: &[],
            },
            Step {
                command: &["venv/bin/python", "-c", "import socket; socket.create_connection(('127.0.0.1', #))"],
                works: true,
                says: "",
                denied: &[],
            },
            Step {
                command: &["python3", "-m", "venv", "--without-pip", "@/outside/venv"],
                works: false,
                says: "",
                denied: &[("file-write-create", "outside/venv", ALL)],
            },
            Step {
                command: &["venv/bin/python", "-c", "print(open('@/home/.ssh/id').read())"],
                works: false,
                says: "",
                denied: &[("file-read-data", "home/.ssh/id", KEYS)],
            },
            Step {
                command: &["venv/bin/python", "-c", "import os; print(os.listdir('@/home'))"],
                works: false,
                says: "",
                denied: &[("file-read-data", "home", ALL)],
            },
            Step {
                command: &["venv/bin/python", "-c", "import os; os.rename('x', 'lib/.bashrc')"],
                works: false,
                says: "",
                denied: &[("file-write-create", "project/lib/.bashrc", KEPT)],
            },
            Step {
                command: &["venv/bin/python", "-c", "import socket; socket.create_connection(('127.0.0.1', $))"],
                works: false,
                says: "",
                denied: &[("network-outbound", "tcp4:localhost:$", NETWORK)],
            },
            Step {
                command: &[
                    "venv/bin/python",
                    "-c",
                    "import subprocess\np = subprocess.Popen(['sleep', '1000'])\np.terminate()\nprint(p.wait())",
                ],
                works: true,
                says: "-15",
                denied: &[],
            },
        ],
    },
];

/// The line of the profile that a rule begins at.
fn line_of(profile: &str, rule: &str) -> u64 {
    let matching: Vec<_> = profile.lines().enumerate().filter(|(_, line)| line.starts_with(rule)).collect();
    assert_eq!(matching.len(), 1, "{rule}");
    matching[0].0 as u64 + 1
}

fn profile() -> String {
    format!("{}/tests/enforcement/programs/workspace.sb", env!("CARGO_MANIFEST_DIR"))
}

/// A place of work, with two ports that are open: one may be connected to.
struct Place<'a> {
    stage: &'a Stage,
    ports: [TcpListener; 2],
}

impl<'a> Place<'a> {
    fn new(stage: &'a Stage) -> Self {
        for folder in ["project", "project/lib", "home", "home/.ssh", "tmp", "outside", "source"] {
            stage.folder_named(folder);
        }
        stage.file("home/.ssh/id", &format!("int x = \"{SECRET}\";\n"));
        stage.file("home/.gitconfig", "[user]\n\tname = somebody\n\temail = somebody@example.com\n");
        stage.file("project/x", "text");
        stage.file("project/hello.c", "#include <stdio.h>\nint main(void) { puts(\"hello from C\"); return 0; }\n");
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        Self { stage, ports: [listener(), listener()] }
    }

    fn filled(&self, text: &str) -> String {
        let port = |number: usize| self.ports[number].local_addr().unwrap().port().to_string();
        let root = self.stage.path("");
        text.replace('@', root.trim_end_matches('/')).replace('#', &port(0)).replace('$', &port(1))
    }

    fn run(&self, mut command: Command) -> Output {
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("HOME", self.stage.path("home")).env("TMPDIR", self.stage.path("tmp"));
        command.current_dir(self.stage.path("project")).output().unwrap()
    }

    fn free(&self, command: &[&str]) -> Output {
        let words: Vec<String> = command.iter().map(|word| self.filled(word)).collect();
        let program = found(&words[0]).unwrap_or_else(|| words[0].clone());
        self.run(self.stage.command(Path::new(&program), &[], &words[1..]))
    }

    fn under(&self, command: &[&str], log: &str) -> Output {
        let given = ["WORK=@/project", "HOME=@/home", "TMP=@/tmp", "SOURCE=@/source", "PORT=#"];
        let mut words = vec!["run".to_owned(), "-f".to_owned(), self.stage.path("workspace.sb")];
        words.extend(given.iter().flat_map(|parameter| ["-D".to_owned(), self.filled(parameter)]));
        words.extend(["--log".to_owned(), log.to_owned(), "--".to_owned()]);
        words.extend(command.iter().map(|word| self.filled(word)));
        self.run(self.stage.command(Path::new(&Stage::sbtool_path()), &[], &words))
    }
}

/// A program of everybody.
fn found(name: &str) -> Option<String> {
    PATH.split(':').map(|folder| format!("{folder}/{name}")).find(|path| Path::new(path).is_file())
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// A path of the scratch directory without what a program chooses.
fn told(path: &str, wanted: &[(&str, &str, &str)]) -> String {
    let starts =
        |(_, known, _): &&(&str, &str, &str)| known.strip_suffix('*').is_some_and(|start| path.starts_with(start));
    wanted.iter().find(starts).map_or_else(|| path.to_owned(), |(_, known, _)| (*known).to_owned())
}

/// Does all of it.
pub fn run(program: &Program, stages: &dyn Fn() -> Stage) {
    if let Some(missing) = program.needs.iter().find(|name| found(name).is_none()) {
        eprintln!("{}: skipped, {missing} is not in {PATH}", program.name);
        return;
    }
    let text = fs::read_to_string(profile()).unwrap();
    let (first, second) = (stages(), stages());
    let (free, under) = (Place::new(&first), Place::new(&second));
    second.file("workspace.sb", &text);
    for place in [&free, &under] {
        if program.needs.contains(&"git") {
            for command in [
                &["git", "init", "--quiet", "."][..],
                &["git", "init", "--quiet", "@/source"],
                &["git", "-C", "@/source", "commit", "--quiet", "--allow-empty", "-m", "first"],
            ] {
                let output = place.free(command);
                assert!(output.status.success(), "{}", said(&output));
            }
        }
    }
    for step in program.steps {
        let output = free.free(step.command);
        assert!(output.status.success(), "without a policy: {:?}\n{}", step.command, said(&output));
        let log = second.path("log");
        let _ = fs::remove_file(&log);
        let output = under.under(step.command, &log);
        let all = said(&output);
        let denials = fs::read_to_string(&log).unwrap();
        assert_eq!(output.status.success(), step.works, "{:?}\n{all}\n{denials}", step.command);
        assert!(all.contains(step.says), "{:?}\n{all}", step.command);
        assert!(!all.contains(SECRET), "{:?}\n{all}", step.command);
        compare(program.name, &under, step, &text, &denials);
    }
    assert_eq!(fs::read_dir(second.path("outside")).unwrap().count(), 0);
    assert!(fs::read_dir(first.path("outside")).unwrap().count() > 0);
}

fn compare(name: &str, place: &Place, step: &Step, profile: &str, denials: &str) {
    let root = place.filled("@/");
    let mut got = BTreeSet::new();
    for line in denials.lines() {
        let denial: Value = serde_json::from_str(line).unwrap();
        let (operation, subject) = (denial["operation"].as_str().unwrap(), denial["subject"].as_str().unwrap_or(""));
        let rule = &denial["rule"];
        assert_eq!(rule["file"].as_str().unwrap(), place.stage.path("workspace.sb"));
        let path = subject.strip_prefix(&root);
        if path.is_none() && subject.starts_with('/') {
            eprintln!("{name}: {operation} {subject} denied to {}, {}", denial["name"], rule["text"]);
            continue;
        }
        let what = told(path.unwrap_or(subject), step.denied);
        got.insert((operation.to_owned(), what, rule["line"].as_u64().unwrap()));
    }
    let wanted: BTreeSet<_> = step
        .denied
        .iter()
        .map(|(operation, what, rule)| {
            let what = if what.contains(':') { place.filled(what) } else { (*what).to_owned() };
            ((*operation).to_owned(), what, line_of(profile, rule))
        })
        .collect();
    assert_eq!(got, wanted, "{:?}\n{denials}", step.command);
}
