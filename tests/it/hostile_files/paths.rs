//! Names of files that lead elsewhere, or to what is not a file.

use std::{
    os::unix::fs::symlink,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use super::{End, Fails, Loads, good, one};
use crate::world::{World, csv, job, with};

#[tokio::test]
async fn every_hostile_name_ends_as_it_should_and_the_worker_goes_on() {
    let (world, mut worker) = World::with_worker().await;
    let (input, outside) = (world.path().join("in"), world.path().join("outside"));
    std::fs::create_dir_all(input.join("sub")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    for place in [&input, &outside, &input.join("sub")] {
        std::fs::write(place.join("a.csv"), good()).unwrap();
    }
    std::fs::write(input.join("line\nend.csv"), good()).unwrap();
    std::fs::write(input.join("per%cent.csv"), good()).unwrap();
    for (target, name) in [
        (outside.join("a.csv"), "out.csv"),
        (outside.join("none.csv"), "out-to-nothing.csv"),
        (PathBuf::from("../outside/a.csv"), "up.csv"),
        (outside.clone(), "way-out"),
        (PathBuf::from("/proc/self/environ"), "environ.csv"),
        (PathBuf::from("/proc/self/root"), "root"),
        (PathBuf::from("/dev/zero"), "zero.csv"),
        (PathBuf::from("circle.csv"), "circle.csv"),
        (PathBuf::from("there"), "here"),
        (PathBuf::from("here"), "there"),
        (input.join("a.csv"), "within.csv"),
        (PathBuf::from("sub/../a.csv"), "around.csv"),
        (PathBuf::from("sub"), "way-in"),
    ] {
        symlink(target, input.join(name)).unwrap();
    }
    // As many links in a row as no system follows.
    symlink("a.csv", input.join("chain-0")).unwrap();
    for link in 1..60 {
        symlink(format!("chain-{}", link - 1), input.join(format!("chain-{link}"))).unwrap();
    }
    assert!(std::process::Command::new("mkfifo").arg(input.join("pipe.csv")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(input.join("socket.csv")).unwrap();

    let within = |name: &str| input.join(name).display().to_string();
    let refused = Fails("file_not_allowed");
    let root = input.display();
    let cases: Vec<(String, End)> = vec![
        (within("within.csv"), Loads),
        (within("around.csv"), Loads),
        (within("way-in/a.csv"), Loads),
        (within("chain-30"), Loads),
        (within("sub/../a.csv"), Loads),
        (within("sub/./..//./a.csv"), Loads),
        (within("line\nend.csv"), Loads),
        (within("per%cent.csv"), Loads),
        (format!("file://{root}/per%25cent.csv"), Loads),
        (format!("FILE://localhost{root}/a.csv"), Loads),
        (within("out.csv"), refused),
        (within("out-to-nothing.csv"), refused),
        (within("up.csv"), refused),
        (within("way-out/a.csv"), refused),
        (within("way-out/none.csv"), refused),
        (within("way-out/none/none.csv"), refused),
        (within("environ.csv"), refused),
        (within("root/etc/passwd"), refused),
        (within("zero.csv"), refused),
        (within("circle.csv"), refused),
        (within("here/a.csv"), refused),
        (within("chain-59"), refused),
        (within("pipe.csv"), refused),
        (within("socket.csv"), refused),
        (within("sub"), refused),
        (within(""), refused),
        (within(&"x".repeat(256)), refused),
        (within("../outside/a.csv"), refused),
        (within("../in-not/a.csv"), refused),
        (format!("{root}x/a.csv"), refused),
        (format!("file://{root}/%2e%2e/outside/a.csv"), refused),
        (format!("file://{root}/..%2foutside/a.csv"), refused),
        (format!("file://{root}/a.csv%00"), refused),
        (format!("file://host{root}/a.csv"), refused),
        (format!("file:////host{root}/a.csv"), refused),
        ("../outside/a.csv".to_owned(), refused),
        ("/etc/passwd".to_owned(), refused),
        ("/dev/zero".to_owned(), refused),
        ("/proc/self/mem".to_owned(), refused),
        ("/".to_owned(), refused),
        ("..".to_owned(), refused),
        ("http://127.0.0.1/a.csv".to_owned(), refused),
        ("data:text/csv,a".to_owned(), refused),
        ("s3://bucket/a.csv".to_owned(), refused),
        ("C:\\a.csv".to_owned(), refused),
    ];
    let mut wrong = Vec::new();
    for (file, end) in cases {
        let shown = &file[..file.len().min(200)];
        wrong.extend(one(&world, &mut worker, shown, &file, end).await);
    }
    assert!(wrong.is_empty(), "{} names ended otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_folder_that_is_exchanged_with_a_link_leads_no_job_out() {
    const JOBS: usize = 300;
    let world = World::new().await;
    let _worker = world.worker(&[("AURA_CONCURRENCY", "8")]).await;
    let (inside, outside, link) = (world.input("sub"), world.path().join("outside"), world.input("link"));
    for (folder, name) in [(&inside, "inside"), (&outside, "outside")] {
        std::fs::create_dir(folder).unwrap();
        for job in 0..JOBS {
            let text = csv(&format!("E{job}"), "2022-06", &[("10", "5")]).replace("Account 10", name);
            std::fs::write(folder.join(format!("{job}.csv")), text).unwrap();
        }
    }
    symlink(&outside, &link).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let exchanging = std::thread::spawn({
        let (done, inside) = (Arc::clone(&done), inside.clone());
        move || {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &inside, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        }
    });
    let mut jobs = Vec::new();
    for number in 0..JOBS {
        let file = inside.join(format!("{number}.csv")).display().to_string();
        jobs.push(world.send(with(job(&file, &format!("E{number}"), "2022-06"), json!({}))).await);
    }
    let mut loaded = 0;
    for id in jobs {
        let receipt = world.broker.receipt(id).await;
        match receipt["status"].as_str() {
            Some("success") => loaded += 1,
            _ => assert!(
                ["file_not_allowed", "file_changed"].map(Some).contains(&receipt["error"]["code"].as_str()),
                "{receipt:#}"
            ),
        }
    }
    done.store(true, Ordering::Relaxed);
    exchanging.join().unwrap();
    assert!(loaded > 0, "the folder was never there");
    let names = "SELECT count(*) FROM gl_accounts WHERE account_name <> 'inside'";
    assert_eq!(world.one::<i64>(names, &[]).await, 0, "of {loaded} jobs that loaded");
}
