//! Attacks on programs, processes, their rights and the supervisor, and calls that lead out.

use super::*;

pub(super) fn starts_race(stage: &Stage) {
    stage.program("a/p", "/bin/true");
    stage.program("b/p", "/bin/false");
    raced(&stage.run(&stage.but("process-exec*"), &[]));
}

/// Scripts of the same interpreter: which program runs in the end does not tell them apart.
pub(super) fn scripts_race(stage: &Stage) {
    stage.script("a/p", "#!/bin/sh\nexit 0\n");
    stage.script("b/p", "#!/bin/sh\nexit 1\n");
    raced(&stage.run(&stage.but("process-exec*"), &[]));
}

pub(super) fn starts_race_inside(inside: &Inside) {
    let (path, place) = swinging(inside, "/p");
    let count = race(path, place, &mut |count| {
        let status = child(|| {
            let arguments = [address(path), 0];
            let _ = call(libc::SYS_execve, &[address(path), address(&arguments), 0]);
            99
        });
        match status {
            0 => count.passed += 1,
            1 => count.breaches += 1,
            _ => count.refused += 1,
        }
    });
    count.say(inside);
}

/// The parent only waits; its parent is the supervisor.
pub(super) fn supervisor() -> u32 {
    let waiting = std::os::unix::process::parent_id();
    let status = std::fs::read_to_string(format!("/proc/{waiting}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

pub(super) fn memory(stage: &Stage) {
    let victim = stage.victim();
    // Also where files are nobody's business.
    for profile in [stage.but("file-read-data"), "(version 1)(allow default)(deny network*)".to_owned()] {
        let said = stage.run(&profile, &[&victim.id()]);
        said.expect(&[
            ("own", "ok"),
            ("open", "EACCES"),
            ("openat", "EACCES"),
            ("openat2", "EACCES"),
            ("creat", "EACCES"),
            ("by thread", "EACCES"),
            ("relative", "EACCES"),
            ("supervisor", "EACCES"),
            ("supervisor by openat2", "EACCES"),
            ("supervisor by creat", "EACCES"),
        ]);
    }
    stage.run(&stage.but("file-read-data"), &[&victim.id()]).expect(&[("supervisor, read", "EACCES")]);
    // Where reading is asked of nobody, the kernel keeps an ordinary user out.
    if !stage.is_by_root() {
        let profile = "(version 1)(allow default)(deny network*)";
        stage.run(profile, &[&victim.id()]).expect(&[("supervisor, read", "EACCES")]);
    }
}

/// What others have open and has no path: a place of it is no descriptor of it.
pub(super) fn places_of_others(stage: &Stage) {
    let (reads, writes) = std::io::pipe().unwrap();
    let own = std::process::id().to_string();
    let said = stage.run(&stage.but("file-read-data"), &[&own, &writes.as_raw_fd().to_string()]);
    said.expect(&[("through", "EACCES"), ("own", "ok")]);
    // And where a lookup asks nobody.
    let profile = "(version 1)(deny default)(allow process* sysctl* file-read* file-write*)(deny file-read-data (literal \"/x\"))";
    stage.run(profile, &[&own, &writes.as_raw_fd().to_string()]).expect(&[("through", "EACCES"), ("own", "ok")]);
    drop((reads, writes));
}

pub(super) fn places_of_others_inside(inside: &Inside) {
    let path = format!("/proc/{}/fd/{}", inside.argument(0), inside.argument(1));
    // An ordinary user may not even look at what root has open.
    match open(&path, libc::O_PATH) {
        Ok(place) => inside.opens("through", &format!("/proc/self/fd/{place}"), libc::O_WRONLY | libc::O_NONBLOCK),
        Err(errno) => inside.say("through", name_of_error(errno)),
    }
    let mut ends = [0i32; 2];
    call(libc::SYS_pipe2, &[system::filled(&mut ends), 0]).unwrap();
    inside.opens("own", &format!("/proc/self/fd/{}", ends[0]), libc::O_RDONLY | libc::O_NONBLOCK);
}

/// Another proc file system at another place; seen by this thread and what it starts only.
pub(super) fn another_proc(stage: &Stage) {
    std::thread::scope(|scope| {
        let mounted = scope.spawn(|| {
            call(libc::SYS_unshare, &[libc::CLONE_NEWNS as u64]).unwrap();
            let nowhere = text("none");
            let at = text(&stage.path("a/proc"));
            let kind = text("proc");
            std::fs::create_dir(stage.path("a/proc")).unwrap();
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let root = text("/");
            call(libc::SYS_mount, &[nowhere.as_ptr() as u64, root.as_ptr() as u64, 0, private, 0]).unwrap();
            call(libc::SYS_mount, &[kind.as_ptr() as u64, at.as_ptr() as u64, kind.as_ptr() as u64, 0, 0]).unwrap();
            let victim = stage.victim();
            stage.run(&stage.but("file-read-data"), &[&victim.id()]).expect(&[
                ("own", "ok"),
                ("victim", "EACCES"),
                ("supervisor", "EACCES"),
                ("supervisor, read", "EACCES"),
            ]);
        });
        mounted.join().unwrap();
    });
}

pub(super) fn another_proc_inside(inside: &Inside) {
    let memory = |process: u32| inside.path(&format!("a/proc/{process}/mem"));
    inside.opens("own", &memory(std::process::id()), libc::O_RDWR);
    inside.opens("victim", &inside.path(&format!("a/proc/{}/mem", inside.argument(0))), libc::O_RDWR);
    inside.opens("supervisor", &memory(supervisor()), libc::O_RDWR);
    inside.opens("supervisor, read", &memory(supervisor()), libc::O_RDONLY);
}

pub(super) fn memory_inside(inside: &Inside) {
    let victim = inside.argument(0);
    let supervisor = supervisor();
    let how = [u64::from(libc::O_RDWR as u32), 0, 0];
    let memory = format!("/proc/{victim}/mem");
    let theirs = format!("/proc/{supervisor}/mem");
    inside.opens("own", "/proc/self/mem", libc::O_RDWR);
    inside.got("open", by_path(numbers::SYS_open, &memory, &[libc::O_RDWR as u64, 0]));
    inside.opens("openat", &memory, libc::O_WRONLY);
    inside.got("openat2", at(libc::SYS_openat2, HERE, &memory, &[address(&how), 24]));
    inside.got("creat", by_path(numbers::SYS_creat, &memory, &[0o600]));
    inside.opens("by thread", &format!("/proc/{victim}/task/{victim}/mem"), libc::O_RDWR);
    let folder = open(&format!("/proc/{victim}"), libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
    inside.got("relative", at(libc::SYS_openat, folder as u64, "mem", &[libc::O_RDWR as u64]));
    inside.opens("supervisor", &theirs, libc::O_RDWR);
    inside.got("supervisor by openat2", at(libc::SYS_openat2, HERE, &theirs, &[address(&how), 24]));
    inside.got("supervisor by creat", by_path(numbers::SYS_creat, &theirs, &[0o600]));
    inside.opens("supervisor, read", &theirs, libc::O_RDONLY);
}

pub(super) fn many(stage: &Stage) {
    stage.run(&stage.but("file-read-data"), &[]).expect(&[("well", "300")]);
}

pub(super) fn many_inside(inside: &Inside) {
    let (allowed, denied) = (inside.path("a/x"), inside.path("b/x"));
    let children: Vec<i32> = (0..300)
        .map(|_| {
            system::fork(|| {
                for _ in 0..10 {
                    match open(&allowed, libc::O_RDONLY) {
                        Ok(descriptor) => close(descriptor),
                        Err(_) => return 1,
                    }
                    if open(&denied, libc::O_RDONLY) != Err(libc::EPERM) {
                        return 2;
                    }
                }
                0
            })
        })
        .collect();
    inside.say("well", children.into_iter().filter(|child| system::wait(*child) == 0).count());
}

/// More openings wait than there are threads to wait for them; the others are still answered, also when
/// those that waited were killed.
pub(super) fn waiting(stage: &Stage) {
    stage.run(&stage.but("file-read-data"), &[]).expect(&[("while", "ok"), ("after", "ok"), ("met", "0")]);
}

pub(super) fn waiting_inside(inside: &Inside) {
    let pipe = inside.path("a/pipe");
    by_path(numbers::SYS_mknod, &pipe, &[u64::from(libc::S_IFIFO | 0o600), 0]).unwrap();
    let children: Vec<i32> =
        (0..1000).map(|_| system::fork(|| i32::from(open(&inside.path("a/pipe"), libc::O_RDONLY).is_err()))).collect();
    inside.opens("while", &inside.path("a/x"), libc::O_RDONLY);
    for child in children {
        let _ = call(libc::SYS_kill, &[child as u64, libc::SIGKILL as u64]);
        system::wait(child);
    }
    inside.opens("after", &inside.path("a/x"), libc::O_RDONLY);
    // And two that wait for one another meet.
    let reader = system::fork(|| i32::from(open(&pipe, libc::O_RDONLY).is_err()));
    let writer = open(&pipe, libc::O_WRONLY);
    inside.say("met", system::wait(reader) + i32::from(writer.is_err()));
}

pub(super) fn killed(stage: &Stage) {
    let mut talk = Talk::with(stage.under(&stage.but("file-read-data file-write*"), &[]));
    assert_eq!(talk.line(), "before=ok");
    let supervisor: i32 = talk.line().parse().unwrap();
    call(libc::SYS_kill, &[supervisor as u64, libc::SIGKILL as u64]).unwrap();
    // It is gone when what it served learns of that, at the latest.
    let said = talk.rest();
    for (key, value) in said.all() {
        assert_eq!(value, "ENOSYS", "{key} after the supervisor's end");
    }
    assert!(said.all().len() >= 5);
}

pub(super) fn killed_inside(inside: &Inside) {
    inside.opens("before", &inside.path("a/x"), libc::O_RDONLY);
    println!("{}", supervisor());
    let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
    // Whatever was asked about before: nothing is allowed.
    while call(libc::SYS_openat, &[HERE, text(&inside.path("a/x")).as_ptr() as u64, 0]) != Err(libc::ENOSYS) {
        std::thread::yield_now();
    }
    inside.opens("allowed", &inside.path("a/x"), libc::O_RDONLY);
    inside.opens("denied", &inside.path("b/x"), libc::O_RDONLY);
    inside.opens("new", &inside.path("a/n"), libc::O_WRONLY | libc::O_CREAT);
    inside.got("unlink", by_path(numbers::SYS_unlink, &inside.path("a/x"), &[]));
    inside.got("mkdir", by_path(numbers::SYS_mkdir, &inside.path("a/m"), &[0o700]));
}

pub(super) fn refused(stage: &Stage) {
    let said = stage.run(&stage.but("file-read-data"), &[]);
    for (key, value) in said.all() {
        let wanted = match key.split_once(' ').map_or(key.as_str(), |(kind, _)| kind) {
            "missing" => "ENOSYS",
            "ended" => "-31",
            "works" => "0",
            _ => "EPERM",
        };
        assert_eq!(value, wanted, "{key}");
    }
    assert!(said.all().len() > 40);
}

pub(super) fn refused_inside(inside: &Inside) {
    let numbers = [
        ("ptrace", libc::SYS_ptrace),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("process_vm_writev", libc::SYS_process_vm_writev),
        ("pidfd_getfd", libc::SYS_pidfd_getfd),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("io_uring_enter", libc::SYS_io_uring_enter),
        ("io_uring_register", libc::SYS_io_uring_register),
        ("mount", libc::SYS_mount),
        ("umount2", libc::SYS_umount2),
        ("pivot_root", libc::SYS_pivot_root),
        ("chroot", libc::SYS_chroot),
        ("open_tree", libc::SYS_open_tree),
        ("move_mount", libc::SYS_move_mount),
        ("fsopen", libc::SYS_fsopen),
        ("fsmount", libc::SYS_fsmount),
        ("fspick", libc::SYS_fspick),
        ("mount_setattr", libc::SYS_mount_setattr),
        ("unshare", libc::SYS_unshare),
        ("setns", libc::SYS_setns),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("bpf", libc::SYS_bpf),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("keyctl", libc::SYS_keyctl),
        ("kexec_load", libc::SYS_kexec_load),
        ("kexec_file_load", libc::SYS_kexec_file_load),
        ("init_module", libc::SYS_init_module),
        ("finit_module", libc::SYS_finit_module),
        ("reboot", libc::SYS_reboot),
        ("mq_open", libc::SYS_mq_open),
        ("fanotify_init", libc::SYS_fanotify_init),
        ("acct", libc::SYS_acct),
        ("swapon", libc::SYS_swapon),
    ];
    for (name, number) in numbers {
        inside.got(name, call(number, &[u64::MAX, u64::MAX, u64::MAX, u64::MAX]));
    }
    for (name, flag) in [
        ("user", libc::CLONE_NEWUSER),
        ("mounts", libc::CLONE_NEWNS),
        ("processes", libc::CLONE_NEWPID),
        ("net", libc::CLONE_NEWNET),
    ] {
        inside.got(&format!("clone {name}"), call(libc::SYS_clone, &[u64::from(flag as u32), 0, 0, 0, 0]));
        inside.got(&format!("unshare {name}"), call(libc::SYS_unshare, &[u64::from(flag as u32)]));
    }
    let arguments = [0u64; 11];
    inside.got("missing clone3", call(libc::SYS_clone3, &[address(&arguments), 88]));
    for number in 463..475 {
        inside.got(&format!("missing {number}"), call(number, &[u64::MAX, u64::MAX, u64::MAX]));
    }
    for (name, request) in [("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541c), ("flags", 0x4008_6602), ("xflags", 0x401c_5820)]
    {
        inside.got(&format!("ioctl {name}"), call(libc::SYS_ioctl, &[0, request, address(&arguments)]));
        // The kernel looks at the lower half only.
        inside.got(&format!("ioctl {name}, high"), call(libc::SYS_ioctl, &[0, request | 1 << 32, address(&arguments)]));
    }
    #[cfg(target_arch = "x86_64")]
    {
        for (name, number) in [("uselib", libc::SYS_uselib), ("iopl", libc::SYS_iopl), ("ioperm", libc::SYS_ioperm)] {
            inside.got(name, call(number, &[3, 1, 1]));
        }
        inside.got("missing x32", call(0x4000_0000 | libc::SYS_openat, &[HERE, text("/").as_ptr() as u64, 0]));
        inside.got("missing x32 number", call(0x4000_0000 | 520, &[]));
        inside.say("ended i386", child(|| i32::from(system::old_call() < 0)));
    }
    inside.say("works fork", child(|| 0));
}

pub(super) fn started(number: i64, arguments: &[u64]) -> i32 {
    child(|| match call(number, arguments) {
        Err(libc::EPERM) => 101,
        Err(errno) => 150 + errno.min(50),
        Ok(_) => 0,
    })
}

pub(super) fn starts_at(directory: u64, path: &str, flags: i32) -> i32 {
    let path = text(path);
    let list = [path.as_ptr() as u64, 0];
    started(libc::SYS_execveat, &[directory, path.as_ptr() as u64, address(&list), 0, signed(flags)])
}

pub(super) fn interpreters(stage: &Stage) {
    stage.program("b/p", "/bin/true");
    stage.program("a/p", "/bin/true");
    stage.script("a/bad", &format!("#!{}\n", stage.path("b/p")));
    stage.script("a/worse", &format!("#! \t{} x\n", stage.path("a/bad")));
    stage.script("a/good", &format!("#!{}\n", stage.path("a/p")));
    stage.script("a/better", &format!("#!{}\n", stage.path("a/good")));
    stage.run(&stage.but("process-exec*"), &[]).expect(&[
        ("bad", "101"),
        ("worse", "101"),
        ("good", "0"),
        ("better", "0"),
    ]);
    stage.run(&stage.but("process-exec-interpreter"), &[]).expect(&[("bad", "101"), ("good", "0")]);
}

pub(super) fn interpreters_inside(inside: &Inside) {
    for name in ["bad", "worse", "good", "better"] {
        inside.say(name, starts_at(HERE, &inside.path(&format!("a/{name}")), 0));
    }
}

pub(super) fn signals(stage: &Stage) {
    for way in ["owner", "owner by structure", "owner by ioctl", "kill", "pidfd", "queue", "thread", "group"] {
        let mut victim = stage.victim();
        let said = stage.run("(version 1)(allow default)(deny signal (target others))", &[way, &victim.id()]);
        said.expect(&[("self", "ok"), ("result", "EPERM")]);
        assert!(victim.lives(), "ended by {way}");
    }
    let child = "(version 1)(allow default)(deny signal (target others))(allow signal (target children))";
    let victim = stage.victim();
    stage.run(child, &["kill", &victim.id()]).expect(&[("self", "ok"), ("result", "EPERM"), ("child", "-15")]);
}

pub(super) fn signals_inside(inside: &Inside) {
    let victim = inside.number(1);
    let end = libc::SIGTERM as u64;
    let own = u64::from(std::process::id());
    inside.got("self", call(libc::SYS_kill, &[own, 0]));
    let waits = system::fork(|| {
        // It ends with its parent, whom nobody lets end it.
        let _ = call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64]);
        if u64::from(std::os::unix::process::parent_id()) == own {
            let _ = call(numbers::SYS_pause, &[]);
        }
        0
    });
    let sent = call(libc::SYS_kill, &[waits as u64, end]);
    if sent.is_ok() {
        inside.say("child", system::wait(waits));
    }
    let result = match inside.argument(0) {
        "kill" => call(libc::SYS_kill, &[victim, end]),
        "queue" => {
            let mut information = [0u64; 16];
            information[0] = end;
            information[1] = u64::from((-1i32) as u32);
            call(libc::SYS_rt_sigqueueinfo, &[victim, end, address(&information)])
        }
        "thread" => call(libc::SYS_tgkill, &[victim, victim, end]).or_else(|_| call(libc::SYS_tkill, &[victim, end])),
        "group" => call(libc::SYS_kill, &[signed(-1), end]),
        "pidfd" => call(libc::SYS_pidfd_open, &[victim, 0])
            .and_then(|process| call(libc::SYS_pidfd_send_signal, &[process as u64, end, 0, 0])),
        way => {
            // What arrives in the pipe is told its owner, by a signal of one's choice.
            let mut pair = [0i32; 2];
            call(libc::SYS_pipe2, &[pair.as_mut_ptr() as u64, 0]).unwrap();
            let [reads, writes] = pair.map(|end| end as u64);
            let set = |command: i32, value: u64| call(libc::SYS_fcntl, &[reads, signed(command), value]);
            set(libc::F_SETFL, (libc::O_ASYNC | libc::O_NONBLOCK) as u64).unwrap();
            let _ = set(libc::F_SETOWN, own);
            let structure = [1u32, u32::try_from(victim).unwrap()];
            let number = i32::try_from(victim).unwrap();
            let result = match way {
                "owner" => set(libc::F_SETOWN, victim),
                "owner by structure" => set(15, address(&structure)),
                _ => call(libc::SYS_ioctl, &[reads, 0x8901, address(&number)]),
            };
            let _ = set(10, end);
            if result.is_ok() {
                let _ = call(libc::SYS_write, &[writes, address(&[0u8]), 1]);
                std::thread::sleep(Duration::from_millis(100));
            }
            result
        }
    };
    inside.got("result", result);
    let _ = call(libc::SYS_kill, &[waits as u64, libc::SIGKILL as u64]);
}

/// `kill(0)` of the own group is allowed; while it is decided another thread joins the group of somebody
/// outside.
pub(super) fn groups(stage: &Stage) {
    let mut talk = Talk::with({
        let mut command = stage.under("(version 1)(allow default)(deny signal (target others))", &[]);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    });
    let own: u32 = talk.line().parse().unwrap();
    let _ = own;
    // `sbtool` itself is of the group that this is about; a signal that it gets it passes on.
    let sbtool = talk.id();
    let said = talk.rest();
    assert_eq!(said.get("outsiders"), "0", "{sbtool}");
}

pub(super) fn groups_inside(inside: &Inside) {
    let own = std::process::id();
    let outside = call(libc::SYS_getpgid, &[0]).unwrap();
    println!("{own}");
    system::count_signals(libc::SIGUSR1);
    // A process of its own group, whose other thread goes back to the one of those outside.
    let status = child(|| {
        let _ = call(libc::SYS_setpgid, &[0, 0]);
        let mine = call(libc::SYS_getpid, &[]).unwrap();
        system::count_signals(libc::SIGUSR1);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let _ = call(libc::SYS_setpgid, &[0, outside as u64]);
                    let _ = call(libc::SYS_setpgid, &[0, mine as u64]);
                }
            });
            let end = Instant::now() + RACE;
            while Instant::now() < end {
                let _ = call(libc::SYS_kill, &[0, libc::SIGUSR1 as u64]);
            }
            ended.store(true, Ordering::Relaxed);
        });
        0
    });
    inside.say("race", status);
    // This process is in the group outside: what reached it reached all of them.
    inside.say("outsiders", system::COUNTED.load(Ordering::SeqCst));
}

pub(super) fn kept(stage: &Stage) {
    stage.file("a/no", "no program");
    stage.run(&stage.but("process-exec*"), &[]).expect(&[("lost", "0")]);
}

pub(super) fn kept_inside(inside: &Inside) {
    system::count_signals(libc::SIGUSR1);
    let path = text(&inside.path("a/no"));
    let ended = AtomicBool::new(false);
    let (process, thread) = (u64::from(std::process::id()), call(libc::SYS_gettid, &[]).unwrap() as u64);
    let lost = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                let before = system::COUNTED.load(Ordering::SeqCst);
                call(libc::SYS_tgkill, &[process, thread, libc::SIGUSR1 as u64]).unwrap();
                let end = Instant::now() + Duration::from_secs(2);
                while system::COUNTED.load(Ordering::SeqCst) == before {
                    if Instant::now() > end {
                        lost.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                    std::thread::yield_now();
                }
                if lost.load(Ordering::SeqCst) > 0 {
                    break;
                }
            }
            ended.store(true, Ordering::SeqCst);
        });
        while !ended.load(Ordering::SeqCst) {
            let _ = call(libc::SYS_execve, &[path.as_ptr() as u64, 0, 0]);
        }
    });
    inside.say("lost", lost.load(Ordering::SeqCst));
}

pub(super) fn shared_memory(stage: &Stage) {
    // Of the user's own, made outside.
    let said = stage.run_free(&["make"]);
    let id = said.get("id").to_owned();
    let sets =
        [("(version 1)(allow default)(deny ipc-sysv*)", "EPERM"), ("(version 1)(allow default)(deny network*)", "ok")];
    for (profile, wanted) in sets {
        let said = stage.run(profile, &["use", &id, said.get("queue"), said.get("set")]);
        let wanted: Vec<(&str, &str)> =
            ["shmat", "shmctl", "msgsnd", "msgctl", "semop", "semctl"].iter().map(|key| (*key, wanted)).collect();
        said.expect(&wanted);
    }
    stage.run_free(&["drop", &id, said.get("queue"), said.get("set")]);
}

pub(super) fn shared_memory_inside(inside: &Inside) {
    let mode = 0o1600;
    if inside.argument(0) == "make" {
        inside.say("id", call(libc::SYS_shmget, &[0, 4096, mode]).unwrap());
        inside.say("queue", call(libc::SYS_msgget, &[0, mode]).unwrap());
        inside.say("set", call(libc::SYS_semget, &[0, 1, mode]).unwrap());
        return;
    }
    let (id, queue, set) = (inside.number(1), inside.number(2), inside.number(3));
    if inside.argument(0) == "drop" {
        for (number, of) in [(libc::SYS_shmctl, id), (libc::SYS_msgctl, queue)] {
            call(number, &[of, 0, 0]).unwrap();
        }
        call(libc::SYS_semctl, &[set, 0, 0, 0]).unwrap();
        return;
    }
    let mut buffer = [0u64; 64];
    let into = buffer.as_mut_ptr() as u64;
    inside.got("shmat", call(libc::SYS_shmat, &[id, 0, 0]));
    inside.got("shmctl", call(libc::SYS_shmctl, &[id, 2, into]));
    inside.got("msgctl", call(libc::SYS_msgctl, &[queue, 2, into]));
    inside.got("msgsnd", call(libc::SYS_msgsnd, &[queue, address(&[1u64, 0]), 1, 0]));
    let operation: [u16; 3] = [0, 1, 0];
    inside.got("semop", call(libc::SYS_semop, &[set, address(&operation), 1]));
    inside.got("semctl", call(libc::SYS_semctl, &[set, 0, 12, 0]));
}

pub(super) fn limits(stage: &Stage) {
    let victim = stage.victim();
    stage.run(&stage.but("file-read-data"), &[&victim.id()]).expect(&[
        ("own", "ok"),
        ("another", "EPERM"),
        ("supervisor", "EPERM"),
        ("after", "ok"),
    ]);
}

pub(super) fn limits_inside(inside: &Inside) {
    let limit = [0u64, 0];
    let set = |process: u64, resource: u32, limit: &[u64; 2]| {
        call(libc::SYS_prlimit64, &[process, u64::from(resource), address(limit), 0])
    };
    inside.got("own", set(0, libc::RLIMIT_CORE, &limit));
    inside.got("another", set(inside.number(0), libc::RLIMIT_CORE, &limit));
    inside.got("supervisor", set(supervisor().into(), libc::RLIMIT_NOFILE, &limit));
    inside.opens("after", &inside.path("a/x"), libc::O_RDONLY);
}

pub(super) fn nested(stage: &Stage) {
    stage.run(&stage.but("file-read-data"), &[&Stage::sbtool_path()]).expect(&[("status", "71")]);
}

pub(super) fn nested_inside(inside: &Inside) {
    let profile = "(version 1)(allow default)(deny network*)";
    let status = std::process::Command::new(inside.argument(0))
        .args(["run", "-p", profile, "--", "true"])
        .env_remove(super::super::stage::ACTION)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    inside.say("status", status.code().unwrap_or(-1));
}

pub(super) fn other_user(stage: &Stage) {
    stage.file("a/root's", "secret");
    std::fs::set_permissions(stage.path("a/root's"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    stage.folder_named("open");
    std::fs::set_permissions(stage.path("open"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let listener = UnixListener::bind(stage.path("open/s")).unwrap();
    std::fs::set_permissions(stage.path("open/s"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut victim = stage.victim();
    let profile = stage.but("file-read* file-write* network-outbound signal");
    // A rule on signals without a path applies to all of them; here only the asking matters.
    let profile = format!("{profile}(allow signal)(deny signal (target pgrp))(allow signal (target others))");
    let said = stage.run(&profile, &[&victim.id()]);
    said.expect(&[
        ("before", "ok"),
        ("root's", "EACCES"),
        ("root's, access", "EACCES"),
        ("another's", "ok"),
        ("denied", "EPERM"),
        ("new", "ok"),
        ("unlink", "EACCES"),
        ("connect", "ok"),
        ("signal", "EPERM"),
        ("signal by descriptor", "EPERM"),
        ("back", "EPERM"),
        ("by descriptor", "ok"),
    ]);
    assert!(victim.lives());
    let (peer, _) = listener.accept().unwrap();
    let peer = rustix::net::sockopt::socket_peercred(&peer).unwrap();
    assert_eq!(peer.uid.as_raw(), NOBODY, "the peer is taken for the supervisor");
    assert_eq!(std::fs::metadata(stage.path("open/new")).unwrap().uid(), NOBODY);
}

pub(super) fn other_user_inside(inside: &Inside) {
    let root_s = inside.path("a/root's");
    inside.opens("before", &root_s, libc::O_RDONLY);
    let nobody = u64::from(NOBODY);
    call(libc::SYS_setgroups, &[0, 0]).unwrap();
    call(libc::SYS_setresgid, &[nobody, nobody, nobody]).unwrap();
    call(libc::SYS_setresuid, &[nobody, nobody, nobody]).unwrap();
    inside.opens("root's", &root_s, libc::O_RDONLY);
    inside.got("root's, access", by_path(numbers::SYS_access, &root_s, &[4]));
    inside.opens("another's", &inside.path("a/x"), libc::O_RDONLY);
    inside.opens("denied", &inside.path("b/x"), libc::O_RDONLY);
    inside.opens("new", &inside.path("open/new"), libc::O_WRONLY | libc::O_CREAT);
    inside.got("unlink", by_path(numbers::SYS_unlink, &root_s, &[]));
    let socket = system::socket(libc::AF_UNIX, libc::SOCK_STREAM).unwrap();
    inside.got("connect", system::with_address(libc::SYS_connect, socket, &system::local(&inside.path("open/s"))));
    let victim = inside.number(0);
    inside.got("signal", call(libc::SYS_kill, &[victim, libc::SIGTERM as u64]));
    let process = call(libc::SYS_pidfd_open, &[victim, 0]).unwrap();
    inside
        .got("signal by descriptor", call(libc::SYS_pidfd_send_signal, &[process as u64, libc::SIGTERM as u64, 0, 0]));
    inside.got("back", call(libc::SYS_setresuid, &[0, 0, 0]));
    let file = open(&inside.path("open/new"), libc::O_RDONLY);
    inside.got("by descriptor", file.and_then(|file| call(libc::SYS_fchmod, &[file as u64, 0o600])));
}

pub(super) fn fewer_rights(stage: &Stage) {
    stage.file("a/nobody's", "secret");
    std::fs::set_permissions(stage.path("a/nobody's"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(stage.path("a/nobody's"), Some(NOBODY), Some(NOBODY)).unwrap();
    let profile = stage.but("file-read-data file-write*");
    stage.run(&profile, &[&Stage::own_path()]).expect(&[("before", "ok"), ("after", "EACCES"), ("own", "ok")]);
}

pub(super) fn fewer_rights_inside(inside: &Inside) {
    let path = inside.path("a/nobody's");
    if inside.arguments.get(1).is_some() {
        inside.opens("after", &path, libc::O_RDONLY);
        inside.opens("own", &inside.path("a/x"), libc::O_RDONLY);
        return;
    }
    inside.opens("before", &path, libc::O_RDONLY);
    // CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH; what starts then does not have them.
    for right in [1, 2] {
        call(libc::SYS_prctl, &[libc::PR_CAPBSET_DROP as u64, right, 0, 0, 0]).unwrap();
    }
    let status = std::process::Command::new(inside.argument(0)).args(["", "again"]).status().unwrap();
    assert!(status.success());
}
