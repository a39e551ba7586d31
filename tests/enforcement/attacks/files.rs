//! Attacks on paths, names and descriptors.

use super::*;

pub(super) fn opens_race(stage: &Stage) {
    for call in ["open", "openat", "openat2"] {
        raced(&stage.run(&stage.but("file-read-data"), &[call]));
    }
}

pub(super) fn opens_race_inside(inside: &Inside) {
    let (path, place) = swinging(inside, "/x");
    let name = address(path);
    let how = [0u64; 3];
    let count = race(path, place, &mut |count| {
        let result = match inside.argument(0) {
            "open" => call(numbers::SYS_open, &[name, 0, 0]),
            "openat" => call(libc::SYS_openat, &[HERE, name, 0, 0]),
            _ => call(libc::SYS_openat2, &[HERE, name, address(&how), 24]),
        };
        match result {
            Ok(descriptor) => {
                match read(descriptor).as_deref() {
                    Ok(b"allowed") => count.passed += 1,
                    _ => count.breaches += 1,
                }
                close(descriptor);
            }
            Err(_) => count.refused += 1,
        }
    });
    count.say(inside);
}

pub(super) fn unlinks_race(stage: &Stage) {
    stage.file("b/u", "secret");
    raced(&stage.run(&stage.but("file-write-unlink"), &[]));
    assert_eq!(stage.text("b/u").as_deref(), Some("secret"));
}

pub(super) fn unlinks_race_inside(inside: &Inside) {
    let (path, place) = swinging(inside, "/u");
    let again = inside.path("a/u");
    let count = race(path, place, &mut |count| {
        close(open(&again, libc::O_CREAT | libc::O_WRONLY).unwrap());
        match call(numbers::SYS_unlink, &[address(path)]) {
            Ok(_) => count.passed += 1,
            Err(_) => count.refused += 1,
        }
    });
    count.say(inside);
}

pub(super) fn renames_race(stage: &Stage) {
    stage.file("b/r", "secret");
    stage.file("b/t", "secret");
    for which in ["from", "to"] {
        raced(&stage.run(&stage.but("file-write*"), &[which]));
        assert_eq!(stage.text("b/r").as_deref(), Some("secret"));
        assert_eq!(stage.text("b/t").as_deref(), Some("secret"));
    }
}

pub(super) fn renames_race_inside(inside: &Inside) {
    let (from, to) = ("/r", "/t");
    let is_from = inside.argument(0) == "from";
    let (path, place) = swinging(inside, if is_from { from } else { to });
    let again = inside.path("a/r");
    let other = text(&inside.path(if is_from { "a/moved" } else { "a/r" }));
    let count = race(path, place, &mut |count| {
        close(open(&again, libc::O_CREAT | libc::O_WRONLY).unwrap());
        let (one, two) = (address(path), other.as_ptr() as u64);
        let result = call(numbers::SYS_rename, &if is_from { [one, two] } else { [two, one] });
        match result {
            Ok(_) => count.passed += 1,
            Err(_) => count.refused += 1,
        }
    });
    count.say(inside);
}

pub(super) fn links_race(stage: &Stage) {
    stage.link("l", &stage.path("a/x"));
    stage.link("m", &stage.path("b/x"));
    let (one, two) = (text(&stage.path("l")), text(&stage.path("m")));
    let ended = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let arguments =
                    [HERE, one.as_ptr() as u64, HERE, two.as_ptr() as u64, u64::from(libc::RENAME_EXCHANGE)];
                call(libc::SYS_renameat2, &arguments).unwrap();
            }
        });
        let said = stage.run(&stage.but("file-read-data"), &[]);
        ended.store(true, Ordering::Relaxed);
        said
    });
    raced(&said);
}

pub(super) fn links_race_inside(inside: &Inside) {
    let path = inside.path("l");
    let mut count = Count::default();
    let start = Instant::now();
    while goes_on(start, count.is_enough()) {
        match open(&path, libc::O_RDONLY) {
            Ok(descriptor) => {
                match read(descriptor).as_deref() {
                    Ok(b"allowed") => count.passed += 1,
                    _ => count.breaches += 1,
                }
                close(descriptor);
            }
            Err(_) => count.refused += 1,
        }
    }
    count.say(inside);
}

pub(super) fn through_proc(stage: &Stage) {
    let victim = stage.victim();
    let said = stage.run(&stage.but("file-read-data file-write*"), &[&victim.id()]);
    said.expect(&[
        ("place", "ok"),
        ("place again", "EPERM"),
        ("place for writing", "EPERM"),
        ("by dev", "EPERM"),
        ("read only", "ok"),
        ("read only again", "ok"),
        ("read only by thread", "ok"),
        ("own root", "EPERM"),
        ("own root, allowed", "ok"),
        ("thread's root", "EPERM"),
        ("own directory", "EPERM"),
        ("own directory, allowed", "ok"),
        ("root of another", "EPERM"),
        ("root of another, allowed", "ok"),
        ("directory of another", "EPERM"),
        ("a link to proc", "EPERM"),
    ]);
    let said = stage.run(&stage.but("file-write*"), &[&victim.id()]);
    said.expect(&[("read", "ok"), ("write", "EPERM"), ("truncate", "EPERM"), ("read again", "ok"), ("mode", "EPERM")]);
    assert_eq!(stage.text("b/x").as_deref(), Some("secret"));
}

pub(super) fn through_proc_inside(inside: &Inside) {
    let victim = inside.argument(0);
    let (allowed, denied) = (inside.path("a/x"), inside.path("b/x"));
    let place = open(&denied, libc::O_PATH);
    inside.got("place", place);
    if let Ok(place) = place {
        inside.opens("place again", &format!("/proc/self/fd/{place}"), libc::O_RDONLY);
        inside.opens("place for writing", &format!("/proc/self/fd/{place}"), libc::O_WRONLY);
        inside.opens("by dev", &format!("/dev/fd/{place}"), libc::O_RDONLY);
    }
    let file = open(&allowed, libc::O_RDONLY);
    inside.got("read only", file);
    if let Ok(file) = file {
        inside.opens("read only again", &format!("/proc/self/fd/{file}"), libc::O_RDWR);
        inside.opens("read only by thread", &format!("/proc/thread-self/fd/{file}"), libc::O_RDWR);
    }
    inside.opens("own root", &format!("/proc/self/root{denied}"), libc::O_RDONLY);
    inside.opens("own root, allowed", &format!("/proc/self/root{allowed}"), libc::O_RDONLY);
    inside.opens("thread's root", &format!("/proc/thread-self/root{denied}"), libc::O_RDONLY);
    inside.opens("own directory", "/proc/self/cwd/b/x", libc::O_RDONLY);
    inside.opens("own directory, allowed", "/proc/self/cwd/a/x", libc::O_RDONLY);
    inside.opens("root of another", &format!("/proc/{victim}/root{denied}"), libc::O_RDONLY);
    inside.opens("root of another, allowed", &format!("/proc/{victim}/root{allowed}"), libc::O_RDONLY);
    inside.opens("directory of another", &format!("/proc/{victim}/cwd/b/x"), libc::O_RDONLY);
    let link = inside.path("a/proc");
    let _ = std::os::unix::fs::symlink(format!("/proc/self/root{denied}"), &link);
    inside.opens("a link to proc", &link, libc::O_RDONLY);
    let file = open(&denied, libc::O_RDONLY);
    inside.got("read", file);
    if let Ok(file) = file {
        let own = format!("/proc/self/fd/{file}");
        inside.opens("write", &own, libc::O_RDWR);
        inside.opens("truncate", &own, libc::O_RDONLY | libc::O_TRUNC);
        inside.opens("read again", &own, libc::O_RDONLY);
        inside.got("mode", by_path(numbers::SYS_chmod, &own, &[0o777]));
    }
}

pub(super) fn moved(stage: &Stage) {
    stage.folder_named("a/d");
    stage.file("a/d/y", "allowed");
    stage.file("a/y", "allowed");
    stage.run(&stage.but("file-read-data file-write*"), &[]).expect(&[
        ("link", "EPERM"),
        ("link, allowed", "ok"),
        ("linkat", "EPERM"),
        ("by place", "EPERM"),
        ("by proc", "EPERM"),
        ("rename over", "EPERM"),
        ("rename in", "EPERM"),
        ("rename out", "EPERM"),
        ("exchange", "EPERM"),
        ("exchange back", "EPERM"),
        ("rename, allowed", "ok"),
        ("symlink in", "EPERM"),
        ("read by a symlink", "EPERM"),
        ("create by a symlink", "EPERM"),
        ("create by a symlink, allowed", "ok"),
        ("creat by a symlink", "EPERM"),
        ("mkdir by a symlink", "EEXIST"),
    ]);
    assert_eq!(stage.text("b/x").as_deref(), Some("secret"));
    assert_eq!(stage.text("b/new"), None);
    assert!(stage.text("a/new").is_some());
}

pub(super) fn moved_inside(inside: &Inside) {
    let path = |name: &str| inside.path(name);
    let two = |number: i64, from: &str, to: &str| {
        let to = text(&inside.path(to));
        by_path(number, &inside.path(from), &[to.as_ptr() as u64])
    };
    inside.got("link", two(numbers::SYS_link, "b/x", "a/l"));
    inside.got("link, allowed", two(numbers::SYS_link, "a/x", "a/m"));
    let to = text(&path("a/l"));
    inside.got("linkat", at(libc::SYS_linkat, HERE, &path("b/x"), &[HERE, to.as_ptr() as u64, 0]));
    let place = open(&path("b/x"), libc::O_PATH).unwrap();
    let by_place = [HERE, to.as_ptr() as u64, libc::AT_EMPTY_PATH as u64];
    inside.got("by place", at(libc::SYS_linkat, place as u64, "", &by_place));
    let by_proc = [HERE, to.as_ptr() as u64, libc::AT_SYMLINK_FOLLOW as u64];
    inside.got("by proc", at(libc::SYS_linkat, HERE, &format!("/proc/self/fd/{place}"), &by_proc));
    inside.got("rename over", two(numbers::SYS_rename, "a/d", "b"));
    inside.got("rename in", two(numbers::SYS_rename, "a/y", "b/x"));
    inside.got("rename out", two(numbers::SYS_rename, "b/x", "a/z"));
    let exchange = |from: &str, to: &str| {
        let to = text(&inside.path(to));
        let more = [HERE, to.as_ptr() as u64, u64::from(libc::RENAME_EXCHANGE)];
        at(libc::SYS_renameat2, HERE, &inside.path(from), &more)
    };
    inside.got("exchange", exchange("a", "b"));
    inside.got("exchange back", exchange("b/x", "a/y"));
    inside.got("rename, allowed", two(numbers::SYS_rename, "a/d", "a/e"));
    inside.got("symlink in", two(numbers::SYS_symlink, "a/x", "b/s"));
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(inside.path(target), inside.path(name)).unwrap();
    link("b/x", "a/s");
    inside.opens("read by a symlink", &path("a/s"), libc::O_RDONLY);
    link("b/new", "a/dangling");
    inside.opens("create by a symlink", &path("a/dangling"), libc::O_WRONLY | libc::O_CREAT);
    inside.got("creat by a symlink", by_path(numbers::SYS_creat, &path("a/dangling"), &[0o600]));
    inside.got("mkdir by a symlink", by_path(numbers::SYS_mkdir, &path("a/dangling"), &[0o700]));
    link("a/new", "a/leading");
    inside.opens("create by a symlink, allowed", &path("a/leading"), libc::O_WRONLY | libc::O_CREAT);
}

pub(super) fn old_directory(stage: &Stage) {
    let mut command = stage.under(&stage.but("file-read* file-write*"), &[]);
    command.stdin(std::fs::File::open(stage.path("b")).unwrap());
    Stage::ended(command).expect(&[
        ("leaf", "EPERM"),
        ("leaf for writing", "EPERM"),
        ("new", "EPERM"),
        ("out of it", "ok"),
        ("out and in", "EPERM"),
        ("status", "EPERM"),
        ("unlink", "EPERM"),
        ("from within", "EPERM"),
        ("up from within", "ok"),
        ("itself", "EPERM"),
    ]);
}

pub(super) fn old_directory_inside(inside: &Inside) {
    let mut status = [0u64; 32];
    let into = status.as_mut_ptr() as u64;
    inside.got("leaf", at(libc::SYS_openat, 0, "x", &[0]));
    inside.got("leaf for writing", at(libc::SYS_openat, 0, "x", &[libc::O_WRONLY as u64]));
    inside.got("new", at(libc::SYS_openat, 0, "n", &[(libc::O_CREAT | libc::O_WRONLY) as u64, 0o600]));
    inside.got("out of it", at(libc::SYS_openat, 0, "../a/x", &[0]));
    inside.got("out and in", at(libc::SYS_openat, 0, "../b/x", &[0]));
    inside.got("status", at(libc::SYS_newfstatat, 0, "x", &[into, 0]));
    inside.got("unlink", at(libc::SYS_unlinkat, 0, "x", &[0]));
    inside.got("itself", at(libc::SYS_openat, 0, ".", &[libc::O_DIRECTORY as u64]));
    call(libc::SYS_fchdir, &[0]).unwrap();
    inside.got("from within", at(libc::SYS_openat, HERE, "x", &[0]));
    inside.got("up from within", at(libc::SYS_openat, HERE, "../a/x", &[0]));
}

pub(super) fn by_descriptor(stage: &Stage) {
    let (user, group) = (stage.owner().to_string(), stage.owner().to_string());
    stage.run(&stage.but("file-write*"), &["b/x", &user, &group]).expect(&[
        ("fchmod", "EPERM"),
        ("fchown", "EPERM"),
        ("futimens", "EPERM"),
        ("fsetxattr", "EPERM"),
        ("fremovexattr", "EPERM"),
        ("fchmodat2", "EPERM"),
        ("fchownat", "EPERM"),
        ("new", "EOPNOTSUPP"),
    ]);
    stage.run(&stage.but("file-write*"), &["a/x", &user, &group]).expect(&[
        ("fchmod", "ok"),
        ("fchown", "ok"),
        ("futimens", "ok"),
        ("fsetxattr", "ok"),
        ("fremovexattr", "ok"),
        ("fchownat", "ok"),
        // As without a policy: a place is no file to write to.
        ("place, mode", "EBADF"),
        ("place, attribute", "EBADF"),
        ("place, owner", "EBADF"),
    ]);
}

pub(super) fn by_descriptor_inside(inside: &Inside) {
    let (user, group) = (inside.number(1), inside.number(2));
    let file = open(&inside.path(inside.argument(0)), libc::O_RDONLY).unwrap() as u64;
    let (name, value) = (text("user.test"), text("value"));
    let (name, value) = (name.as_ptr() as u64, value.as_ptr() as u64);
    inside.got("fchmod", call(libc::SYS_fchmod, &[file, 0o666]));
    inside.got("fchown", call(libc::SYS_fchown, &[file, user, group]));
    inside.got("futimens", call(libc::SYS_utimensat, &[file, 0, 0, 0]));
    inside.got("fsetxattr", call(libc::SYS_fsetxattr, &[file, name, value, 5, 0]));
    inside.got("fremovexattr", call(libc::SYS_fremovexattr, &[file, name]));
    inside.got("fchmodat2", at(numbers::SYS_fchmodat2, file, "", &[0o666, libc::AT_EMPTY_PATH as u64]));
    inside.got("fchownat", at(libc::SYS_fchownat, file, "", &[user, group, libc::AT_EMPTY_PATH as u64]));
    inside.got("new", open(&inside.path("a"), libc::O_TMPFILE | libc::O_RDWR));
    let place = open(&inside.path(inside.argument(0)), libc::O_PATH).unwrap() as u64;
    inside.got("place, mode", call(libc::SYS_fchmod, &[place, 0o666]));
    inside.got("place, attribute", call(libc::SYS_fsetxattr, &[place, name, value, 5, 0]));
    inside.got("place, owner", call(libc::SYS_fchown, &[place, user, group]));
}

pub(super) fn unnamed(stage: &Stage) {
    stage.program("a/p", "/bin/true");
    let profile = format!(
        "(version 1)(allow default)(deny process-exec*)(allow process-exec* (literal \"{}\") (subpath \"{}\"))",
        Stage::own_path(),
        stage.path("a")
    );
    stage.run(&profile, &[]).expect(&[
        ("program", "0"),
        ("by descriptor", "0"),
        ("memory", "101"),
        ("memory by proc", "101"),
        ("denied", "101"),
        ("its place", "101"),
    ]);
}

pub(super) fn unnamed_inside(inside: &Inside) {
    inside.say("program", starts_at(HERE, &inside.path("a/p"), 0));
    let file = open(&inside.path("a/p"), libc::O_RDONLY | libc::O_CLOEXEC).unwrap();
    inside.say("by descriptor", starts_at(file as u64, "", libc::AT_EMPTY_PATH));
    let memory = call(libc::SYS_memfd_create, &[text("m").as_ptr() as u64, 0]).unwrap();
    let program = std::fs::read("/bin/true").unwrap();
    call(libc::SYS_write, &[memory as u64, program.as_ptr() as u64, program.len() as u64]).unwrap();
    inside.say("memory", starts_at(memory as u64, "", libc::AT_EMPTY_PATH));
    inside.say("memory by proc", starts_at(HERE, &format!("/proc/self/fd/{memory}"), 0));
    inside.say("denied", starts_at(HERE, "/bin/true", 0));
    let place = open("/bin/true", libc::O_PATH).unwrap();
    inside.say("its place", starts_at(place as u64, "", libc::AT_EMPTY_PATH));
}

/// What has nothing to do with a policy gets what it gets without one.
pub(super) fn odd(stage: &Stage) {
    stage.link("a/l", "x");
    stage.link("a/ld", "d");
    stage.link("a/slash", "x/");
    stage.link("a/none", "missing");
    let mut all = Vec::new();
    for profile in [None, Some(stage.but("file-read* file-write*"))] {
        for name in ["a/d", "a/e", "a/f"] {
            let _ = std::fs::remove_dir_all(stage.path(name));
            stage.folder_named(name);
        }
        let _ = std::fs::remove_dir(stage.path("a/new"));
        stage.file("a/x", "allowed");
        let said = match profile {
            None => stage.run_free(&[]),
            Some(profile) => stage.run(&profile, &[]),
        };
        all.push(said);
    }
    let differ: Vec<String> = all[0]
        .all()
        .iter()
        .filter(|(key, value)| all[1].get(key) != value.as_str())
        .map(|(key, value)| format!("{key}: {value} without a policy, {} under one", all[1].get(key)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(all[0].all().len() > 30);
}

pub(super) fn odd_inside(inside: &Inside) {
    let path = |name: &str| inside.path(name);
    for name in [
        "",
        "a/x/",
        "a/x/.",
        "a/x/..",
        "a/",
        "a/.",
        "a/..",
        "a//x",
        "a/./x",
        "a/d/../x",
        "a/l",
        "a/l/",
        "a/slash",
        "a/none",
        "a/missing/",
        "a/missing/x",
        "a/none/",
        "a/ld/",
        "a/ld/.",
        "a/x/y",
    ] {
        inside.opens(&format!("open {name}"), &path(name), libc::O_RDONLY);
        inside.opens(&format!("no follow {name}"), &path(name), libc::O_RDONLY | libc::O_NOFOLLOW);
        inside.opens(&format!("place {name}"), &path(name), libc::O_PATH | libc::O_NOFOLLOW);
        inside.opens(&format!("directory {name}"), &path(name), libc::O_RDONLY | libc::O_DIRECTORY);
        if !matches!(name, "a/none" | "a/missing/x" | "a/missing/" | "a/none/") {
            inside.opens(&format!("create {name}"), &path(name), libc::O_RDONLY | libc::O_CREAT);
        }
        inside.opens(&format!("create new {name}"), &path(name), libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL);
        let mut status = [0u64; 32];
        let into = status.as_mut_ptr() as u64;
        inside.got(&format!("stat {name}"), by_path(numbers::SYS_stat, &path(name), &[into]));
        inside.got(&format!("lstat {name}"), by_path(numbers::SYS_lstat, &path(name), &[into]));
        inside.got(&format!("access {name}"), by_path(numbers::SYS_access, &path(name), &[0]));
        let mut buffer = [0u64; 64];
        let into = buffer.as_mut_ptr() as u64;
        inside.got(&format!("readlink {name}"), by_path(numbers::SYS_readlink, &path(name), &[into, 256]));
        // Nothing that the next one needs goes away by these.
        if name.ends_with('.') || name.ends_with('/') {
            inside.got(&format!("unlink {name}"), by_path(numbers::SYS_unlink, &path(name), &[]));
            if name != "a/missing/" {
                inside.got(&format!("mkdir {name}"), by_path(numbers::SYS_mkdir, &path(name), &[0o700]));
            }
            inside.got(&format!("mknod {name}"), by_path(numbers::SYS_mknod, &path(name), &[0o100_600, 0]));
            let to = text(&path(name));
            inside.got(&format!("symlink {name}"), by_path(numbers::SYS_symlink, "x", &[to.as_ptr() as u64]));
            inside.got(&format!("link {name}"), by_path(numbers::SYS_link, &path("a/x"), &[to.as_ptr() as u64]));
            let elsewhere = text(&path("a/moved"));
            if !name.ends_with("ld/") {
                inside.got(
                    &format!("rename {name}"),
                    by_path(numbers::SYS_rename, &path(name), &[elsewhere.as_ptr() as u64]),
                );
            }
            inside.got(&format!("rename to {name}"), by_path(numbers::SYS_rename, &path("a/x"), &[to.as_ptr() as u64]));
            inside.got(&format!("rmdir {name}"), by_path(numbers::SYS_rmdir, &path(name), &[]));
        }
        // A link that was made where none should be is not in the way of the rest.
        let _ = std::fs::remove_file(path("a/missing"));
        let _ = std::fs::remove_dir(path("a/missing"));
    }
    inside.opens("empty", "", libc::O_RDONLY);
    inside.opens("empty, new", "", libc::O_RDONLY | libc::O_CREAT);
    let mut status = [0u64; 32];
    let into = status.as_mut_ptr() as u64;
    inside.got("empty, status", at(libc::SYS_newfstatat, HERE, "", &[into, 0]));
    inside.got("empty, itself", at(libc::SYS_newfstatat, HERE, "", &[into, libc::AT_EMPTY_PATH as u64]));
    inside.opens("long", &format!("/{}", "x/".repeat(2500)), libc::O_RDONLY);
    inside.opens("long name", &path(&"x".repeat(256)), libc::O_RDONLY);
    inside.opens("long name, new", &path(&"x".repeat(256)), libc::O_WRONLY | libc::O_CREAT);
    inside.opens(
        "as long as may be",
        &format!("{}{}", "/".repeat(4095 - path("a/x").len()), path("a/x")),
        libc::O_RDONLY,
    );
    inside.opens("longer by one", &format!("{}{}", "/".repeat(4096 - path("a/x").len()), path("a/x")), libc::O_RDONLY);
    for (name, pointer) in [("null", 0), ("one", 1), ("kernel", 0xffff_8000_0000_0000), ("last", u64::MAX)] {
        inside.got(&format!("pointer {name}"), call(libc::SYS_openat, &[HERE, pointer, 0]));
        inside.got(&format!("pointer {name}, unlink"), call(numbers::SYS_unlink, &[pointer]));
        inside.got(&format!("into {name}"), by_path(numbers::SYS_stat, &path("a/x"), &[pointer]));
    }
    let page = system::last_page(b'/');
    inside.got("without an end", call(libc::SYS_openat, &[HERE, address(page) + 4000, 0]));
    let end = path("a/x");
    let (_, tail) = page.split_at(4095 - end.len());
    put(tail, end.as_bytes());
    inside.got("ends with its page", call(libc::SYS_openat, &[HERE, address(tail), 0]));
    inside.got("no directory", at(libc::SYS_openat, 99, "x", &[0]));
    inside.got("no directory, absolute", at(libc::SYS_openat, 99, &path("a/x"), &[0]));
    let file = open(&path("a/x"), libc::O_RDONLY).unwrap();
    inside.got("a file as a directory", at(libc::SYS_openat, file as u64, "x", &[0]));
    inside.got("negative", at(libc::SYS_openat, signed(-5), "x", &[0]));
    let loops = ["a/one", "a/two"];
    let _ = std::os::unix::fs::symlink("two", path(loops[0]));
    let _ = std::os::unix::fs::symlink("one", path(loops[1]));
    inside.opens("loop", &path("a/one"), libc::O_RDONLY);
    inside.opens("loop, new", &path("a/one"), libc::O_RDONLY | libc::O_CREAT);
}

pub(super) fn deleted(stage: &Stage) {
    stage.file("x (deleted)", "secret");
    let profile =
        format!("(version 1)(allow default)(deny file-read-data (literal \"{}\"))", stage.path("x (deleted)"));
    stage.run(&profile, &[]).expect(&[("named so", "EPERM"), ("deleted", "ok"), ("by proc", "ok")]);
    let profile = format!("(version 1)(allow default)(deny file-read-data (literal \"{}\"))", stage.path("gone"));
    stage.run(&profile, &[]).expect(&[("named so", "ok"), ("deleted", "ok"), ("by proc", "EPERM")]);
}

pub(super) fn deleted_inside(inside: &Inside) {
    inside.opens("named so", &inside.path("x (deleted)"), libc::O_RDONLY);
    let gone = inside.path("gone");
    let file = open(&gone, libc::O_WRONLY | libc::O_CREAT);
    inside.got("deleted", file);
    by_path(numbers::SYS_unlink, &gone, &[]).unwrap();
    if let Ok(file) = file {
        inside.opens("by proc", &format!("/proc/self/fd/{file}"), libc::O_RDONLY);
    }
}
