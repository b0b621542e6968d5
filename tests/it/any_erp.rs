//! Real exports load with a profile and without code, from compressed files and workbooks too.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{
    hostile_files::workbooks::Workbook,
    stack::checkout,
    world::{World, csv, job, with},
};

/// A sample of a shipped profile: its bytes.
fn sample(source: &str) -> (String, Vec<u8>) {
    let folder = checkout().join("deploy/sources/samples");
    let entries = std::fs::read_dir(&folder).expect("samples").map(|entry| entry.expect("an entry").path());
    let path = entries
        .filter(|path| path.extension().is_some_and(|extension| extension != "toml" && extension != "md"))
        .find(|path| path.file_stem().is_some_and(|stem| stem == source))
        .unwrap_or_else(|| panic!("no sample of {source}"));
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    (name, std::fs::read(path).expect("a sample"))
}

fn expected() -> Vec<toml::Table> {
    let text = std::fs::read_to_string(checkout().join("deploy/sources/samples/expected.toml")).expect("expectations");
    let table: toml::Table = text.parse().expect("TOML");
    table["slice"].as_array().expect("slices").iter().map(|slice| slice.as_table().expect("a slice").clone()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

#[tokio::test]
async fn every_shipped_sample_reaches_the_ledger_with_the_figures_that_were_written() {
    let (world, _worker) = World::with_worker().await;
    for slice in expected() {
        let text = |name: &str| slice[name].as_str().expect("a text").to_owned();
        let (source, entity, period) = (text("source"), text("entity"), text("period"));
        let (name, bytes) = match slice.get("sample").and_then(toml::Value::as_str) {
            Some(name) => {
                let path = checkout().join("deploy/sources/samples").join(name);
                (name.to_owned(), std::fs::read(path).expect("a sample"))
            }
            None => sample(&source),
        };
        let file = world.write(&name, bytes);
        let receipt = world.ends("success", with(job(&file, &entity, &period), json!({"source": source}))).await;
        assert_eq!(receipt["rows"].as_i64(), slice["rows"].as_integer(), "{source}: {receipt:#}");
        let (rows, sum) = world.slice(&entity, &period).await;
        assert_eq!(Some(rows), slice["accounts"].as_integer(), "{source} {entity} {period}");
        assert_eq!(sum, text("balance_sum"), "{source} {entity} {period}");
        let balances = world.balances(&entity, &period).await;
        for example in slice["examples"].as_array().expect("examples") {
            let pair =
                (example["account"].as_str().unwrap().to_owned(), example["balance"].as_str().unwrap().to_owned());
            assert!(balances.contains(&pair), "{source}: {pair:?} in {balances:?}");
        }
        // The next source may have the same slice, of which nothing is to stay.
        world.postgres.batch_execute("DELETE FROM gl_accounts; DELETE FROM slices").await.unwrap();
    }
}

#[tokio::test]
async fn rows_of_one_account_are_added_up_exactly_or_the_last_one_counts() {
    let (world, _worker) = World::with_worker().await;
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(sources.join("journal.toml"), "repeated_keys = 'sum'\nmode = 'replace'\n").unwrap();
    std::fs::write(sources.join("versions.toml"), "repeated_keys = 'last'\n").unwrap();
    let _other = world.worker(&[("AURA_SOURCES_DIR", sources.to_str().unwrap())]).await;
    drop(_worker);
    let postings: Vec<(&str, &str)> =
        vec![("10", "0.1"), ("20", "5"), ("10", "0.2"), ("10", "-0.0000000000000001"), ("20", "")];
    let file = world.write("a.csv", csv("A", "2022-06", &postings));
    let journal = with(job(&file, "A", "2022-06"), json!({"source": "journal", "control": {"rows": 5}}));
    let receipt = world.ends("success", journal.clone()).await;
    assert_eq!((&receipt["rows"], &receipt["inserted"]), (&json!(5), &json!(2)), "{receipt:#}");
    let sums = vec![("10".to_owned(), "0.2999999999999999".to_owned()), ("20".to_owned(), "5".to_owned())];
    assert_eq!(world.balances("A", "2022-06").await, sums);
    let again = world.ends("success", with(journal, json!({"skip_duplicates": false}))).await;
    assert_eq!((&again["unchanged"], &again["updated"]), (&json!(2), &json!(0)), "{again:#}");
    let last = world.ends("success", with(job(&file, "A", "2022-06"), json!({"source": "versions"}))).await;
    assert_eq!(last["updated"], 2, "{last:#}");
    let versions = vec![("10".to_owned(), "-0.0000000000000001".to_owned()), ("20".to_owned(), "0".to_owned())];
    assert_eq!(world.balances("A", "2022-06").await, versions);
    let large: Vec<(&str, &str)> = vec![("10", "999999999999999999"), ("10", "999999999999999999")];
    let file = world.write("large.csv", csv("B", "2022-06", &large));
    let receipt = world.ends("failed", with(job(&file, "B", "2022-06"), json!({"source": "journal"}))).await;
    assert_eq!(receipt["error"]["code"], "row_invalid", "{receipt:#}");
}

#[tokio::test]
async fn compressed_files_load_and_damaged_ones_and_bombs_are_contained() {
    let world = World::new().await;
    let worker = world.worker(&[("AURA_MAX_EXPANDED_BYTES", "100000000")]).await;
    let text = csv("A", "2022-06", &[("10", "5"), ("20", "-5")]);
    for (name, bytes) in [("a.gz", gzip(text.as_bytes())), ("b.zst", zstd::encode_all(text.as_bytes(), 3).unwrap())] {
        let file = world.write(name, bytes);
        let loaded = with(job(&file, "A", "2022-06"), json!({"skip_duplicates": false}));
        assert_eq!(world.ends("success", loaded).await["rows"], 2, "{name}");
    }
    let cut = gzip(text.as_bytes())[..40].to_vec();
    let bomb = gzip(&[text.as_bytes(), &vec![b'\n'; 200_000_000]].concat());
    let long_line = gzip(&vec![b'x'; 50_000_000]);
    let zip = b"PK\x03\x04 but no workbook".to_vec();
    let xls = [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".as_slice(), &[0; 600]].concat();
    for (name, bytes, code) in [
        ("cut.gz", cut, "archive_invalid"),
        ("bomb.gz", bomb, "file_too_large"),
        ("line.gz", long_line, "file_too_large"),
        ("no.xlsx", zip, "workbook_invalid"),
        ("old.xls", xls, "workbook_invalid"),
    ] {
        let receipt = world.ends("failed", job(&world.write(name, bytes), "A", "2022-06")).await;
        assert_eq!(receipt["error"]["code"], code, "{name}: {receipt:#}");
        assert_eq!(receipt["attempt"], 1, "{name}");
    }
    let resident = worker.resident_bytes();
    assert!(resident < 256 << 20, "the worker holds {resident} bytes");
}

#[tokio::test]
async fn amounts_of_two_readings_are_refused_with_both_and_a_profile_decides() {
    let (world, _worker) = World::with_worker().await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "1.234"), ("20", "-5")]));
    let receipt = world.ends("failed", job(&file, "A", "2022-06")).await;
    assert_eq!(receipt["error"]["code"], "ambiguous_amounts", "{receipt:#}");
    let message = receipt["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("line 2") && message.contains("1.234 with a decimal point and 1234 with a decimal comma"),
        "{message}"
    );

    let european = world.write("b.csv", csv("B", "2022-06", &[("10", "1.234"), ("20", "\"-5,50\"")]));
    world.ends("success", job(&european, "B", "2022-06")).await;
    let balances = vec![("10".to_owned(), "1234".to_owned()), ("20".to_owned(), "-5.5".to_owned())];
    assert_eq!(world.balances("B", "2022-06").await, balances, "the second row can only have a decimal comma");

    let mixed = world.write("c.csv", csv("C", "2022-06", &[("10", "1.234"), ("20", "\"5,50\""), ("30", "5.50")]));
    assert_eq!(world.ends("failed", job(&mixed, "C", "2022-06")).await["error"]["code"], "ambiguous_amounts");

    // Another slice of the file may tell.
    let told = csv("D", "2022-06", &[("10", "1.234")]) + "E,2022-06,10,x,0.5,BS,Assets\n";
    world.ends("success", job(&world.write("d.csv", told), "D", "2022-06")).await;
    assert_eq!(world.balances("D", "2022-06").await, vec![("10".to_owned(), "1.234".to_owned())]);
}

#[tokio::test]
async fn a_profile_that_is_not_there_or_not_valid_is_told_with_what_there_is() {
    let world = World::new().await;
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(sources.join("broken.toml"), "[text]\ndelimeter = ';'\n").unwrap();
    let _worker = world.worker(&[("AURA_SOURCES_DIR", sources.to_str().unwrap())]).await;
    let file = world.write("a.csv", csv("A", "2022-06", &[("10", "5")]));
    let message = async |source: &str| {
        let receipt = world.ends("failed", with(job(&file, "A", "2022-06"), json!({"source": source}))).await;
        assert_eq!(receipt["error"]["code"], "unknown_source", "{receipt:#}");
        receipt["error"]["message"].as_str().unwrap().to_owned()
    };
    assert!(message("sap").await.starts_with("there is no mapping profile sap;"));
    let broken = message("broken").await;
    assert!(
        broken.contains("broken.toml: line 2: unknown field `delimeter`") && broken.contains("`delimiter`"),
        "{broken}"
    );
    // It is read anew for each job.
    std::fs::write(sources.join("broken.toml"), "[text]\ndelimiter = ','\n").unwrap();
    world.ends("success", with(job(&file, "A", "2022-06"), json!({"source": "broken"}))).await;
}

#[tokio::test]
async fn check_tells_what_would_be_loaded_and_which_profile_fits() {
    let world = World::new().await;
    let (name, bytes) = sample("sap-bseg");
    let file = world.write(&name, bytes);
    let said =
        world.producer(&["check", &file, "--entity", "1000", "--period", "2022-06", "--json"]).await.expect(0).json();
    assert_eq!(said["source"], "sap-bseg", "{said:#}");
    assert_eq!(said["dialect"]["encoding"], "windows-1252");
    let slice = expected().into_iter().find(|slice| slice["source"].as_str() == Some("sap-bseg")).unwrap();
    assert_eq!(said["slices"][0]["balance_sum"].as_str(), slice["balance_sum"].as_str());
    assert_eq!(said["slices"][0]["accounts"].as_i64(), slice["accounts"].as_integer());

    let bad = world.write("bad.csv", csv("A", "2022-06", &[("10", "x"), ("20", "1"), ("20", "2")]));
    let said = world.producer(&["check", &bad, "--json"]).await.expect(1).json();
    assert_eq!(
        said["slices"][0]["bad_rows"][0],
        json!({"line": 2, "column": "balance", "reason": "is not a decimal number", "text": "x"})
    );
    assert_eq!(said["slices"][0]["repeated_keys"][0]["line"], 4, "{said:#}");
    let told = world.producer(&["check", &bad]).await.expect(1);
    assert!(told.stdout.contains("BAD: line 2, balance: is not a decimal number"), "{}", told.stdout);
    world.producer(&["check", "nowhere.csv"]).await.expect(2);
}

#[tokio::test]
async fn a_drafted_profile_loads_once_what_only_a_person_can_decide_is_decided() {
    let (world, worker) = World::with_worker().await;
    let text = "Trial balance of the group\n\nAccount No.;Account Name;Debit;Credit\n1000;\"Cash; petty\";1.234,50;\n2000;Debt;;1.234,50\n;Total;1.234,50;1.234,50\n";
    let file = world.write("a.csv", text);
    let draft = world.producer(&["check", &file, "--suggest"]).await.expect(0).stdout;
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(sources.join("draft.toml"), &draft).unwrap();
    drop(worker);
    let _worker = world.worker(&[("AURA_SOURCES_DIR", sources.to_str().unwrap())]).await;
    let asked = with(job(&file, "A", "2022-06"), json!({"source": "draft", "require_balanced": true}));
    let refused = world.ends("failed", asked.clone()).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert_eq!(refused["error"]["code"], "unknown_source", "{refused:#}");
    assert!(message.contains("bs_pl is left open: BS or PL"), "{message}");
    let decided = draft.lines().map(|line| match line.split_once(" = \"?\"") {
        Some(("bs_pl", _)) => "bs_pl = { value = \"BS\" }",
        Some(("status", _)) => "status = { value = \"Assets\" }",
        Some((other, _)) => panic!("{other} is no question of this file"),
        None => line,
    });
    std::fs::write(sources.join("draft.toml"), decided.collect::<Vec<_>>().join("\n")).unwrap();
    let receipt = world.ends("success", asked).await;
    assert_eq!(receipt["rows"], 2, "{receipt:#}\n{draft}");
    let balances = vec![("1000".to_owned(), "1234.5".to_owned()), ("2000".to_owned(), "-1234.5".to_owned())];
    assert_eq!(world.balances("A", "2022-06").await, balances);
}

#[tokio::test]
async fn a_draft_asks_what_decides_figures_and_tells_what_each_answer_gives() {
    let world = World::new().await;
    let draft = async |text: &str| {
        let file = world.write("a.csv", text);
        world.producer(&["check", &file, "--suggest"]).await.expect(0).stdout
    };
    let journal = draft(
        "Account No.;Account Name;Date;Debit;Credit\n1000;Cash;30.06.2022;10,50;\n1000;Cash;29.06.2022;1,00;\n4000;Sales;30.06.2022;;-11,50\n",
    )
    .await;
    for told in [
        "repeated_keys = \"?\"   # 1 of 3 rows have the account of an earlier one: \"sum\" adds them up to 2 accounts",
        "signed = \"?\"   # 1 credits are negative, 0 positive, 0 debits negative: true if credits carry their minus already \
         (the rows sum to 0), false if they are subtracted (23)",
        "period = \"?\"   # { message = \"period\" } takes it from the job; of the file's dates it would be \
         { column = \"Date\", format = \"DD.MM.YYYY\" }",
        "status = \"?\"",
    ] {
        assert!(journal.contains(told), "{told}\n{journal}");
    }
    let columns = draft(
        "Account No.,Account Name,Opening,Movement,Closing\n1000,Cash,1.00,2.50,3.50\n2000,Debt,-1.00,0.00,-1.00\n",
    )
    .await;
    for told in ["\"Opening\": 2 amounts that sum to 0", "\"Closing\": 2 amounts that sum to 2.5", "balance = \"?\""] {
        assert!(columns.contains(told), "{told}\n{columns}");
    }
}

#[tokio::test]
async fn check_judges_every_slice_and_tells_the_figures_that_finance_compares() {
    let world = World::new().await;
    let mut text = csv("A00", "2022-06", &[("10", "5"), ("20", "-2")]);
    for entity in 1..40 {
        let balance = if entity == 33 { "x" } else { "1.5" };
        text += &format!(
            "A{entity:02},2022-06,10,Cash,{balance},BS,Assets\nA{entity:02},2022-06,40,Sales,-1.5,PL,Income\n"
        );
    }
    let file = world.write("group.csv", &text);
    let said = world.producer(&["check", &file, "--json"]).await.expect(1).json();
    assert_eq!(said["slices"].as_array().unwrap().len(), 40);
    assert_eq!((&said["totals"]["slices"], &said["totals"]["failing"]), (&json!(40), &json!(1)));
    let failing = said["slices"].as_array().unwrap().iter().find(|slice| slice["loads"] == false).unwrap();
    assert_eq!(
        (&failing["entity"], &failing["bad_lines"]["68"]),
        (&json!("A33"), &json!("A33,2022-06,10,Cash,x,BS,Assets"))
    );
    let shown = world.producer(&["check", &file]).await.expect(1).stdout;
    assert!(shown.contains("in all: 40 slices, 1 of which would fail"), "{shown}");
    assert!(shown.contains("it reads A33,2022-06,10,Cash,x,BS,Assets"), "{shown}");

    let one = ["check", &file, "--entity", "A00"];
    let first = world.producer(&[&one[..], &["--json", "--accounts"]].concat()).await.expect(0).json();
    let ledger = &first["slices"][0]["ledger"];
    assert_eq!(
        (&ledger["debit"], &ledger["credit"], &ledger["by_bs_pl"]),
        (&json!("5"), &json!("-2"), &json!({"BS": "3"}))
    );
    assert_eq!(first["slices"][0]["listed_accounts"][1]["balance"], "-2", "{first:#}");
    let unbalanced = world.producer(&[&one[..], &["--require-balanced"]].concat()).await.expect(1).stdout;
    assert!(unbalanced.contains("FAILS: out_of_balance"), "{unbalanced}");
    world.producer(&[&one[..], &["--control-rows", "2", "--control-balance-sum", "3"]].concat()).await.expect(0);
    let wrong = world.producer(&[&one[..], &["--control-balance-sum", "-3"]].concat()).await.expect(1).stdout;
    assert!(wrong.contains("the message says a sum of -3, the file has 3"), "{wrong}");
    let bad = ["check", &file, "--entity", "A33"];
    world.producer(&[&bad[..], &["--on-error", "quarantine"]].concat()).await.expect(0);

    // What the worker would refuse does not load here either.
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(sources.join("sums.toml"), "mode = 'replace'\nrepeated_keys = 'sum'\n").unwrap();
    let most = "900000000000000000";
    let over = [("10", most), ("10", most), ("20", &format!("-{most}")), ("30", &format!("-{most}"))];
    let over = world.write("over.csv", csv("A", "2022-06", &over));
    let sums = ["check", &over, "--source", "sums", "--sources-dir", sources.to_str().unwrap()];
    world.producer(&sums).await.expect(1);
    let refused = world.producer(&[&sums[..], &["--on-error", "quarantine"]].concat()).await.expect(2).stderr;
    assert!(refused.contains("mode replace, with which quarantine does not go"), "{refused}");
}

#[tokio::test]
async fn no_profile_is_chosen_under_which_rows_are_bad_or_figures_differ() {
    let world = World::new().await;
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    let common = "[columns]\nentity = { message = 'entity' }\nperiod = { message = 'period' }\naccount_code = 'Acct'\n\
                  account_name = 'Acct'\nbs_pl = { value = 'BS' }\nstatus = { value = 'Assets' }\n";
    std::fs::write(sources.join("closing.toml"), format!("{common}balance = 'Closing'\n")).unwrap();
    std::fs::write(sources.join("movement.toml"), format!("{common}balance = 'Movement'\n")).unwrap();
    let dir = sources.to_str().unwrap();
    let check = async |text: &str, more: &[&str]| {
        let file = world.write("a.csv", text);
        let arguments = ["check", &file, "--entity", "A", "--period", "2022-06", "--sources-dir", dir];
        world.producer(&[&arguments, more].concat()).await
    };
    let two = check("Acct,Closing,Movement\n1,3.50,1.00\n2,-3.50,2.00\n", &[]).await.expect(2).stderr;
    for told in ["give different figures", "closing: 2 rows that sum to 0", "movement: 2 rows that sum to 3"] {
        assert!(two.contains(told), "{told}: {two}");
    }
    let one = check("Acct,Closing,Movement\n1,3.50,n/a\n2,-3.50,n/a\n", &["--json"]).await.expect(0).json();
    assert_eq!(one["source"], "closing", "{one:#}");
    let column = check("Acct,Closing,Movement,YTD\n1,3.50,n/a,7.00\n2,-3.50,n/a,2.00\n", &[]).await.expect(2).stderr;
    for told in [
        "so that a person decides",
        "closing: 2 rows that sum to 0, read from Closing",
        "\"YTD\": 2 amounts that sum to 9",
    ] {
        assert!(column.contains(told), "{told}: {column}");
    }
    let named = check("Acct,Closing,YTD\n1,3.50,7.00\n2,-3.50,2.00\n", &["--source", "closing"]).await.expect(0).stdout;
    assert!(named.contains("reads the balance from Closing"), "{named}");
    assert!(named.contains("not loaded as the balance: \"YTD\": 2 amounts that sum to 9"), "{named}");
    // However it is written, and whatever else tells rows apart that are added up.
    let marked = check("Acct,Closing,YTD\n1,3.50,7.00 DR\n2,-3.50,2.00 CR\n", &[]).await.expect(2).stderr;
    assert!(marked.contains("\"YTD\": 2 amounts, of which the profile cannot tell the sum"), "{marked}");
    std::fs::write(sources.join("added.toml"), format!("repeated_keys = 'sum'\n{common}balance = 'Amount'\n")).unwrap();
    let several = "Acct,Amount,Ledger\n1,3.50,0L\n2,-3.50,0L\n1,3.50,2L\n2,-3.50,2L\n";
    let added = check(several, &[]).await.expect(2).stderr;
    assert!(
        added.contains("it loads rows into one slice whatever stands in \"Ledger\" (0L: 2 rows, 0; 2L: 2 rows, 0)"),
        "{added}"
    );
    let told = check(several, &["--source", "added"]).await.expect(0).stdout;
    assert!(told.contains("ADDED UP? the rows go into one slice whatever stands in \"Ledger\""), "{told}");
    let point = sources.join("point.toml");
    std::fs::write(&point, format!("[amounts]\ndecimal = '.'\n{common}balance = 'Closing'\n")).unwrap();
    let thousands = check("Acct,Closing\n1,1.201\n2,-1.201\n", &[]).await.expect(2).stderr;
    for told in ["its amounts may be a thousand times too small", "three digits behind the mark"] {
        assert!(thousands.contains(told), "{thousands}");
    }
    check("Acct,Closing\n1,1.201\n2,-1.201\n", &["--source", "point"]).await.expect(0);
    std::fs::remove_file(point).unwrap();
    // No account stands twice, and still two companies are in one slice; a company's own dates are of one month.
    let companies =
        "Acct,Closing,Legal entity,Posted on\n1,3.50,US,n/a\n2,-3.50,US,n/a\n3,1.00,DE,n/a\n4,-1.00,DE,n/a\n";
    let two = check(companies, &[]).await.expect(2).stderr;
    assert!(two.contains("whatever stands in \"Legal entity\" (DE: 2 rows, 0; US: 2 rows, 0)"), "{two}");
    let dates = |second: &str| format!("Acct,Closing,Posting date\n1,3.50,01.06.2022\n2,-3.50,{second}\n");
    check(&dates("30.06.2022"), &[]).await.expect(0);
    let months = check(&dates("01.07.2022"), &[]).await.expect(2).stderr;
    assert!(months.contains("whatever stands in \"Posting date\" (01.06.2022: 1 rows, 3.5;"), "{months}");
    // A line with two accounts has each of its cells once.
    let both = format!("repeated_keys = 'sum'\n[contra]\naccount_code = 'Contra'\n{common}balance = 'Amount'\n");
    std::fs::write(sources.join("both.toml"), both).unwrap();
    let once = check("Acct,Contra,Amount,Tax\n1,2,3.50,0.50\n", &["--source", "both"]).await.expect(0).stdout;
    assert!(once.contains("not loaded as the balance: \"Tax\": 1 amounts that sum to 0.5"), "{once}");
    let groups = check("Acct,Closing\n1,5.00\n11,5.00\n2,-5.00\n21,-5.00\n", &["--source", "closing"]).await;
    let groups = groups.expect(0).stdout;
    assert!(groups.contains("COUNTED TWICE? 2 accounts are the sum of others: 1, 2"), "{groups}");
    let padded = check("Acct,Closing\n1000,5.00\n1010,2.00\n1020,3.00\n2000,-5.00\n", &["--source", "closing"]).await;
    let padded = padded.expect(0).stdout;
    assert!(padded.contains("COUNTED TWICE? 1 accounts are the sum of others: 1000"), "{padded}");
    // A currency of documents is none of the books where the profile says which currency is.
    let same = format!("repeated_keys = 'sum'\n[rows]\nsame = ['LCurr']\n{common}balance = 'Local'\n");
    std::fs::write(sources.join("same.toml"), same).unwrap();
    let lists = "Acct,Local,LCurr,Curr,Balance prev.period\n1,3.50,EUR,EUR,1.00\n2,-3.50,EUR,USD,2.50\n";
    let told = check(lists, &["--source", "same"]).await.expect(0).stdout;
    assert!(!told.contains("ADDED UP?"), "{told}");
    let scenario = "Acct,Local,LCurr,Scenario\n1,3.50,EUR,Actual\n2,-3.50,EUR,Budget\n";
    let told = check(scenario, &["--source", "same"]).await.expect(0).stdout;
    assert!(told.contains("ADDED UP?") && told.contains("Scenario"), "{told}");
    std::fs::write(sources.join("named.toml"), common.replace("'Acct'\nbs_pl", "'Name'\nbs_pl") + "balance = 'Sum'\n")
        .unwrap();
    let named =
        check("Acct,Name,Sum\n10,Cash,5.00\n19,Total cash,5.00\n20,Debt,-10.00\n", &["--source", "named"]).await;
    let named = named.expect(0).stdout;
    assert!(named.contains("COUNTED TWICE? 1 accounts call themselves a total: 19"), "{named}");
    let bad = check("Acct,Closing\n1,3.50\n2,x.50\n", &["--source", "closing"]).await.expect(1).stdout;
    assert!(
        bad.contains("BAD: line 3, balance: is not a decimal number\n       Closing of the file is \"x.50\""),
        "{bad}"
    );
    let none = check("Acct,Closing,Movement\n1,n/a,n/a\n", &[]).await.expect(2).stderr;
    assert!(none.contains("no mapping profile fits the file") && none.lines().count() <= 3, "{none}");
    std::fs::write(
        sources.join("movement.toml"),
        "[rows]\ndrop = [{ column = 'Acct', matches = '^\\d' }]\n".to_owned() + common + "balance = 'Movement'\n",
    )
    .unwrap();
    let empty =
        check("Acct,Closing,Movement\n1,3.50,1.00\n2,-3.50,2.00\n", &["--source", "movement"]).await.expect(1).stdout;
    assert!(empty.contains("2 rows left out by drop Acct matches '^\\d'"), "{empty}");
}

/// What a profile takes from the job, and the classes of all accounts.
const OF_THE_JOB: &str = "[columns]\nentity = { message = 'entity' }\nperiod = { message = 'period' }\n\
                          account_code = 'Acct'\naccount_name = 'Acct'\nbs_pl = { value = 'BS' }\n\
                          status = { value = 'Assets' }\n";

#[tokio::test]
async fn a_worker_refuses_what_a_profile_would_read_wrongly_and_tells_what_it_doubts() {
    let (world, worker) = World::with_worker().await;
    let sources = world.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    let sides = "[balance]\ndebit = 'Dr'\ncredit = 'Cr'\nsigned = false\n";
    let rules = "[rows]\nrefuse = [{ column = 'Storno', is_not = ['', '0'] }]\nsame = ['Ledger']\n\
                 drop = [{ column = 'Acct', is = 'Total' }]\n[amounts]\ndecimal = ','\n";
    std::fs::write(sources.join("guarded.toml"), format!("{rules}{sides}{OF_THE_JOB}")).unwrap();
    let double = format!("[amounts]\ndecimals = 2\n{OF_THE_JOB}balance = 'Amount'\n");
    std::fs::write(sources.join("doubles.toml"), double).unwrap();
    drop(worker);
    let _worker = world.worker(&[("AURA_SOURCES_DIR", sources.to_str().unwrap())]).await;
    let guarded = |file: &str| with(job(file, "A", "2022-06"), json!({"source": "guarded"}));

    let bad = "Acct;Dr;Cr;Storno;Ledger\n1;5,00;;;0L\n2;;5,00;1;0L\n3;;5,00;0;2L\n";
    let failed = world.ends("failed", guarded(&world.write("bad.csv", bad))).await;
    assert_eq!((&failed["error"]["code"], &failed["error"]["rows_total"]), (&json!("row_invalid"), &json!(2)));
    let columns: Vec<&Value> = failed["error"]["rows"].as_array().unwrap().iter().map(|row| &row["column"]).collect();
    assert_eq!(columns, ["Storno", "Ledger"], "{failed:#}");
    assert_eq!(world.slice("A", "2022-06").await.0, 0);

    // A group beside its account, and amounts whose comma may be one of thousands.
    let doubtful = "Acct;Dr;Cr;Storno;Ledger\nGroup;5,000;;;0L\n1;5,000;;;0L\n2;;10,000;;0L\nTotal;5,000;5,000;;0L\n";
    let loaded = world.ends("success", guarded(&world.write("doubtful.csv", doubtful))).await;
    let warnings: Vec<&str> = loaded["warnings"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    for told in [
        "line 5 is the file's own total, debit 5 and credit 5; the rows that load have debit 10 and credit 10",
        "all 3 amounts with a decimal comma have three digits behind it: if it is the mark of thousands, they are a \
         thousand times too small",
    ] {
        assert!(warnings.contains(&told), "{told}: {warnings:#?}");
    }

    let cell = |column: char, row: u32, text: &str| format!(r#"<c r="{column}{row}" t="str"><v>{text}</v></c>"#);
    let number = |row: u32, number: &str| format!(r#"<c r="B{row}"><v>{number}</v></c>"#);
    let row = |row: u32, cells: String| format!(r#"<row r="{row}">{cells}</row>"#);
    let sheet = [
        row(1, cell('A', 1, "Acct") + &cell('B', 1, "Amount")),
        row(2, cell('A', 2, "10") + &number(2, "14749.500000000002")),
        row(3, cell('A', 3, "20") + &number(3, "-14749.5")),
        row(4, cell('A', 4, "30") + &number(4, "1.8189894035458565E-12")),
    ];
    let file = world.write("doubles.xlsx", Workbook::of_sheet(&sheet.concat()).packed());
    let asked = with(job(&file, "B", "2022-06"), json!({"source": "doubles", "require_balanced": true}));
    let loaded = world.ends("success", asked).await;
    let told = "numbers of the workbook that were read as the decimal that they mean: 2; the largest difference is \
                0.000000000002";
    assert!(loaded["warnings"].as_array().unwrap().contains(&json!(told)), "{loaded:#}");
    let balances =
        [("10", "14749.5"), ("20", "-14749.5"), ("30", "0")].map(|(code, sum)| (code.to_owned(), sum.to_owned()));
    assert_eq!(world.balances("B", "2022-06").await, balances);
    let precise = sheet.concat().replace("14749.500000000002", "14749.505");
    let precise = world.write("precise.xlsx", Workbook::of_sheet(&precise).packed());
    let refused = with(job(&precise, "B", "2022-07"), json!({"source": "doubles"}));
    assert_eq!(world.ends("failed", refused).await["error"]["code"], "row_invalid");
}

#[tokio::test]
async fn a_file_of_many_slices_is_split_into_a_job_for_each() {
    let (world, _worker) = World::with_worker().await;
    let rows = ["A,2022-06", "B,2022-06", "A,2022-07", "A,2022-06"].iter().enumerate();
    let rows: String = rows.map(|(code, slice)| format!("{slice},{code},x,{code},BS,Assets\n")).collect();
    let file = world.write("group.csv", csv("A", "2022-05", &[("9", "9")]) + &rows);
    let said = world.producer(&["publish", "--split", &file, "--wait", "--json"]).await.expect(0).json();
    assert_eq!((&said["total"], &said["successful"]), (&json!(4), &json!(4)), "{said:#}");
    for (entity, period, rows) in [("A", "2022-05", 1), ("A", "2022-06", 2), ("A", "2022-07", 1), ("B", "2022-06", 1)] {
        assert_eq!(world.slice(entity, period).await.0, rows, "{entity} {period}");
    }
    let bad = world.write("bad.csv", csv("Total", "2022-05", &[("9", "9")]));
    let refused = world.producer(&["publish", "--split", &bad]).await.expect(2);
    assert!(refused.stderr.contains("is of") || refused.stderr.contains("entity"), "{}", refused.stderr);
}

#[tokio::test]
async fn sources_are_listed_and_shown() {
    let world = World::new().await;
    let said = world.producer(&["sources", "list", "--json"]).await.expect(0).json();
    let names: Vec<&Value> = said["sources"].as_array().unwrap().iter().map(|source| &source["name"]).collect();
    assert!(names.len() > 10 && names[0] == "default", "{names:?}");
    let shown = world.producer(&["sources", "show", "fec", "--json"]).await.expect(0).json();
    assert_eq!(shown["profile"]["repeated_keys"], "sum", "{shown:#}");
    let unknown = world.producer(&["sources", "show", "sap"]).await.expect(2);
    assert!(unknown.stderr.contains("sap-bseg"), "{}", unknown.stderr);
}
