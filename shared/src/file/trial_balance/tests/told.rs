//! Whatever is left out, refused or assumed is told in rows and in money.

use super::*;

const OWN_SLICE: &str = "[columns]\nentity = { message = 'entity' }\nperiod = { message = 'period' }\n\
                         account_name = 'account_code'\nbs_pl = { value = 'BS' }\nstatus = { value = 'Assets' }\n";

/// What a profile makes of a file, bad rows put aside.
fn through(toml: &str, text: &str) -> Result<CheckedSlice, Failure> {
    let (slice, profile) = (slice(), MappingProfile::parse("erp".parse().unwrap(), toml).unwrap());
    let request = Request { on_error: OnError::Quarantine, max_rejected: 9, ..request(&slice, &profile) };
    read_until_settled(|assumptions| read(text.as_bytes(), &request, assumptions, &mut Collected::default()))
}

#[test]
fn a_row_that_the_profile_refuses_or_that_is_of_another_ledger_is_bad() {
    let rules = "[rows]\nrefuse = [{ column = ['Reversal', 'Storno'], is_not = ['', '0'] }, { column = 'Gone', is = 'x' }]\n\
                 same = ['Ledger', 'Gone']\n";
    let profile = format!("{rules}{OWN_SLICE}");
    let text = "account_code,balance,Storno,Ledger\n1,5,,0L\n2,-5,1,0L\n3,7,0,2L\n4,-7,0,0L\n";
    let read = through(&profile, text).unwrap();
    let bad: Vec<_> = read.rejected.iter().map(|row| (row.line, row.column.as_deref().unwrap())).collect();
    assert_eq!(bad, [(3, "Storno"), (4, "Ledger")]);
    assert_eq!((read.rows, read.balance_sum.to_string().as_str()), (2, "-2"));
    assert!(read.rejected[0].reason.contains("Reversal or Storno is_not"), "{:?}", read.rejected);

    // What is left out, and what is of another slice, is no row of this one.
    let rules = "[rows]\ndrop = [{ column = 'Ledger', is = '2L' }]\nsame = ['Ledger']\n";
    assert_eq!(through(&format!("{rules}{OWN_SLICE}"), text).unwrap().rows, 3);
    let elsewhere = "entity,period,account_code,account_name,balance,bs_pl,status,Ledger\n\
                     B,2022-06,1,Cash,1,BS,Assets,2L\nA,2022-06,1,Cash,1,BS,Assets,0L\n";
    assert_eq!(through("[rows]\nsame = ['Ledger']\n", elsewhere).unwrap().rejected, []);
}

#[test]
fn rows_without_an_entity_beside_others_are_told_in_rows_and_in_money() {
    let rows = "A,2022-06,10,Cash,7,BS,Assets\n,,20,Sales,-7,PL,Income\n,,10,Total,7,BS,Assets\n";
    let warnings = read_with(rows, |_| {}).0.unwrap().warnings;
    let told = "rows with a blank entity or period, which count as the job's: 2; their balances sum to 0, debit 7 and credit -7";
    assert!(warnings.iter().any(|warning| warning == told), "{warnings:#?}");
    let all = read_with(",,10,Cash,7,BS,Assets\n,,20,Sales,-7,PL,Income\n", |_| {}).0.unwrap().warnings;
    assert!(!all.iter().any(|warning| warning.contains("blank entity")), "{all:#?}");
}

#[test]
fn a_files_own_total_is_held_against_the_rows_that_load() {
    let profile = format!(
        "[rows]\ndrop = [{{ column = 'account_code', is = 'Total' }}]\n[balance]\ndebit = 'Dr'\ncredit = 'Cr'\nsigned = false\n{OWN_SLICE}"
    );
    let warned = |rows: &str| {
        let warnings = through(&profile, &format!("account_code,Dr,Cr\n{rows}")).unwrap().warnings;
        warnings.into_iter().find(|warning| warning.contains("own total"))
    };
    assert_eq!(warned("1,5,\n2,,5\nTotal,5,5\n"), None);
    assert_eq!(warned("1,5,\n2,,5\nTotal,0,0\n"), None, "a nil says nothing");
    assert_eq!(
        warned("Group,5,\n1,5,\n2,,10\nTotal,5,5\n").as_deref(),
        Some("line 5 is the file's own total, debit 5 and credit 5; the rows that load have debit 10 and credit 10")
    );
}

#[test]
fn rows_left_out_that_sum_to_nil_are_told_with_both_sides() {
    let profile = format!("[rows]\nkeep = [{{ column = 'Co', is = '1000' }}]\n{OWN_SLICE}");
    let text = "account_code,balance,Co\n1,5,1000\n1,90,US1\n2,-90,US1\n";
    let warnings = through(&profile, text).unwrap().warnings;
    let told = "rows left out by keep Co is \"1000\": 2; their balances sum to 0, debit 90 and credit -90";
    assert!(warnings.iter().any(|warning| warning == told), "{warnings:#?}");
    let none = through(&profile, "account_code,balance,Co\n1,90,US1\n").unwrap_err();
    assert_eq!(none.code, ErrorCode::SliceNotFound);
    assert!(none.message.ends_with("rows are left out: 1 by keep Co is \"1000\""), "{}", none.message);
}

#[test]
fn amounts_whose_stated_mark_may_be_one_of_thousands_are_told() {
    let profile = format!("[amounts]\ndecimal = ','\n{OWN_SLICE}");
    let warned = |amounts: [&str; 3]| {
        let rows = amounts.map(|amount| format!("1;{amount}\n")).concat();
        let profile = format!("repeated_keys = 'sum'\n{profile}");
        let warnings = through(&profile, &format!("account_code;balance\n{rows}")).unwrap().warnings;
        warnings.iter().any(|warning| warning.contains("a thousand times too small"))
    };
    assert!(warned(["15,000", "-3,250", "1,750"]));
    assert!(!warned(["15,000", "-3,250", "1,75"]));
}
