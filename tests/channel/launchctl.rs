//! In: the arguments of launchctl. Out: what launchd would do about them, with the folder that this program was
//! called in as its memory: `calls`, `list`, `pid`. What is to go wrong stands there too: `refuse` holds domains,
//! `hang` is there.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// Does it; the exit status.
pub fn main(words: &[String]) -> i32 {
    let folder = PathBuf::from(std::env::args().next().unwrap()).parent().unwrap().to_owned();
    let mut calls = OpenOptions::new().create(true).append(true).open(folder.join("calls")).unwrap();
    writeln!(calls, "{}", words.join(" ")).unwrap();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bootstrap", domain, file] => bootstrap(&folder, domain, Path::new(file)),
        ["bootout", _] => match process(&folder) {
            Some(process) => {
                let _ = rustix::process::kill_process(process, Signal::TERM);
                36
            }
            None => 3,
        },
        ["print", _] => {
            if is_running(&folder) {
                0
            } else {
                113
            }
        }
        _ => 64,
    }
}

fn bootstrap(folder: &Path, domain: &str, file: &Path) -> i32 {
    if folder.join("hang").exists() {
        std::thread::sleep(Duration::from_secs(100));
    }
    if fs::read_to_string(folder.join("refuse")).is_ok_and(|domains| domains.split(' ').any(|known| known == domain)) {
        eprintln!("Bootstrap failed: 5: Input/output error");
        return 5;
    }
    fs::copy(file, folder.join("list")).unwrap();
    let list = plist::Value::from_file(file).unwrap().into_dictionary().unwrap();
    let text = |key: &str| list[key].as_string().unwrap().to_owned();
    let words: Vec<&str> = list["ProgramArguments"].as_array().unwrap().iter().filter_map(|w| w.as_string()).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(text("WorkingDirectory")).process_group(0);
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").stdin(Stdio::null());
    for (name, value) in list["EnvironmentVariables"].as_dictionary().unwrap() {
        command.env(name, value.as_string().unwrap());
    }
    command.stdout(File::create(text("StandardOutPath")).unwrap());
    command.stderr(File::create(text("StandardErrorPath")).unwrap());
    #[allow(clippy::zombie_processes, reason = "it outlives this process, whoever comes next waits for it")]
    let child = command.spawn().unwrap();
    fs::write(folder.join("pid"), child.id().to_string()).unwrap();
    0
}

fn process(folder: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(folder.join("pid")).ok()?.parse().ok()?)
}

/// Whether the job runs. One that has ended and that nobody waited for is a zombie.
pub fn is_running(folder: &Path) -> bool {
    let Some(process) = process(folder) else { return false };
    let is_zombie = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))
        .is_ok_and(|text| text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')));
    rustix::process::test_kill_process(process).is_ok() && !is_zombie
}
