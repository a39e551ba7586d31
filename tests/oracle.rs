use sbtool::{blob, policy, sbpl, vocabulary::Release};
#[test]
fn cases() {
    let release = Release::named("macos-14.4").unwrap();
    let mut bad = 0;
    for dir in ["cases", "unhashed"] {
        let mut files: Vec<_> = std::fs::read_dir(format!("../shared/oracle/apple-macos-14.4.1/{dir}"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "sb"))
            .collect();
        files.sort();
        for f in files {
            let text = std::fs::read(&f).unwrap();
            let mut o = sbpl::Options::new(release);
            if f.to_string_lossy().contains("param_path") {
                o.parameters = Some(vec![("ROOT".into(), "/private/tmp".into())]);
            }
            let e = match sbpl::evaluate(&f.to_string_lossy(), &text, &o) {
                Ok(e) => e,
                Err(d) => {
                    println!("{}", d.render(false));
                    bad += 1;
                    continue;
                }
            };
            let g = policy::build::build(&e.rules, Default::default()).unwrap();
            let b = blob::encode(&g).unwrap();
            let want = std::fs::read(f.with_extension("bin")).unwrap();
            let ok = b == want;
            println!("{} {}", if ok { "ok  " } else { "DIFF" }, f.display());
            let d = blob::decode(&want, release).unwrap();
            assert!(d.leftover.is_empty(), "{:?}", d.leftover);
            assert_eq!(blob::encode(&d.graph).unwrap(), want);
            if !ok {
                bad += 1;
                match blob::decode(&b, release) {
                    Ok(x) => {
                        for q in blob::compare((&x, &b), (&d, &want)).differences {
                            println!("   {} {}: {} | {}", q.section, q.what, q.first, q.second)
                        }
                    }
                    Err(e) => println!("{e}"),
                }
            }
        }
    }
    assert_eq!(bad, 0);
}
