use super::*;
use crate::{
    file::{
        dialect::FileLimits, mapping_profile::MappingProfile, records::RecordLimits, unpack::Expansion,
        workbook::WorkbookLimits,
    },
    message::job::Control,
    slice::Slice,
};

mod told;

#[derive(Default)]
struct Collected(Vec<String>, Vec<String>);

impl RowSink for Collected {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        let balance = row.amounts[0].unwrap();
        self.0.push(format!("{}:{}/{}={balance}", row.line, row.company_code, row.account_code));
        self.0.extend(row.extra.clone());
        Ok(())
    }

    fn rejected(&mut self, row: &BadRow, raw: &str) -> Result<(), Failure> {
        self.1.push(format!("{} <{raw}>", described(row)));
        Ok(())
    }
}

const LIMITS: FileLimits = FileLimits {
    record: RecordLimits { bytes: 1000, fields: 50 },
    expansion: Expansion { bytes: 1 << 30, ratio: 200 },
    workbook: WorkbookLimits { bytes: 1 << 20, unpacked: 1 << 24 },
};
const HEADER: &str = "entity,period,account_code,account_name,balance,bs_pl,status\n";

fn slice() -> Slice {
    Slice { entity: "A".parse().unwrap(), period: "2022-06".parse().unwrap() }
}

fn request<'a>(slice: &'a Slice, profile: &'a MappingProfile) -> Request<'a> {
    Request {
        slice,
        profile,
        on_error: OnError::Abort,
        max_rejected: 2,
        limits: LIMITS,
        control: Control::default(),
        require_balanced: false,
        nil_tolerance: Amount::ZERO,
    }
}

fn read_with(rows: &str, change: impl FnOnce(&mut Request<'_>)) -> (Result<CheckedSlice, Failure>, Collected) {
    let (slice, profile) = (slice(), MappingProfile::default());
    let mut request = request(&slice, &profile);
    change(&mut request);
    let text = if rows.starts_with("entity") { rows.to_owned() } else { format!("{HEADER}{rows}") };
    let mut sink = Collected::default();
    let read = read_until_settled(|assumptions| {
        sink = Collected::default();
        read(text.as_bytes(), &request, assumptions, &mut sink)
    });
    (read, sink)
}

/// The rows that a profile makes of a whole file.
fn rows_through(toml: &str, text: &str) -> Result<Vec<String>, Failure> {
    let (slice, profile) = (slice(), MappingProfile::parse("erp".parse().unwrap(), toml).unwrap());
    let request = request(&slice, &profile);
    read_until_settled(|assumptions| {
        let mut sink = Collected::default();
        read(text.as_bytes(), &request, assumptions, &mut sink).map(|_| sink.0)
    })
}

fn failure(rows: &str, change: impl FnOnce(&mut Request<'_>)) -> Failure {
    read_with(rows, change).0.unwrap_err()
}

#[test]
fn codes_stay_text_blank_balances_are_nil_and_company_is_the_entity() {
    let (read, sink) =
        read_with("A,2022-06, 00100 ,Cash,,BS,Assets\nA,2022-06,200,Debt,-1.50,BS,Liabilities\n", |_| {});
    assert_eq!(sink.0, ["2:A/00100=0", "3:A/200=-1.5"]);
    let read = read.unwrap();
    assert_eq!((read.rows, read.balance_sum.to_string().as_str(), read.profile.blank_balances), (2, "-1.5", 1));
}

#[test]
fn rows_of_other_slices_are_counted_and_left_alone() {
    let (read, sink) = read_with("B,2022-06,1,x,junk,BS,A\nA,2022-06,1,x,1,BS,A\nA,2022-07,1,x,1,BS,A\n", |_| {});
    assert_eq!((read.unwrap().rows_other_slices, sink.0.len()), (2, 1));
    let missing = failure("B,2022-06,1,x,1,BS,A\nA,2022-07,1,x,1,BS,A\n", |_| {});
    assert_eq!(missing.message, "the file has no row of A 2022-06; it has A 2022-07, B 2022-06");
}

#[test]
fn a_blank_entity_is_the_jobs_only_if_the_file_holds_no_other_slice() {
    let (read, sink) = read_with(",2022-06,1,x,1,BS,A\nA,,2,x,2,BS,A\n", |_| {});
    assert_eq!((read.unwrap().rows, sink.0.len()), (2, 2));
    for rows in [",2022-06,1,x,1,BS,A\nB,2022-06,2,x,2,BS,A\n", "B,2022-06,2,x,2,BS,A\n,2022-06,1,x,1,BS,A\n"] {
        let failure = failure(rows, |_| {});
        assert_eq!(failure.code, ErrorCode::RowInvalid);
        assert_eq!(failure.rows[0].column.as_deref(), Some("entity"), "{failure}");
    }
}

#[test]
fn every_bad_row_is_listed_with_line_column_and_reason() {
    let rows = "A,2022-06,1,x,12x,BS,A\nA,2022-06,,x,1,BS,A\nA,2022-06,3,x,1,BS\nA,2022-06,4,x,1,BS,A\n";
    let failure = failure(rows, |_| {});
    let shown: Vec<_> = failure.rows.iter().map(described).collect();
    assert_eq!(
        shown,
        [
            "line 2, balance: is not a decimal number",
            "line 3, account_code: is blank",
            "line 4: has 6 fields where the header has 7"
        ]
    );
    assert_eq!(failure.message, "3 of 4 rows are bad; the first: line 2, balance: is not a decimal number");
}

#[test]
fn quarantine_puts_bad_rows_aside_up_to_its_limit() {
    let rows = "A,2022-06,1,x,12x,BS,A\nA,2022-06,4,\"x\ny\",1e3,BS,A\nA,2022-06,5,x,1,BS,A\n";
    let (read, sink) = read_with(rows, |request| request.on_error = OnError::Quarantine);
    assert_eq!((read.unwrap().failed, sink.0.len()), (2, 1));
    assert_eq!(sink.1[1], "line 3, balance: is not a decimal number <A,2022-06,4,\"x\ny\",1e3,BS,A>");
    let more = format!("A,2022-06,9,x,?,BS,A\n{rows}");
    let failure = failure(&more, |request| request.on_error = OnError::Quarantine);
    assert!(failure.message.starts_with("more than 2 rows are bad"), "{failure}");
}

#[test]
fn unknown_columns_are_kept_verbatim() {
    let rows =
        "entity,period,account_code,account_name,balance,bs_pl,status,Segment\nA,2022-06,1,x,1,BS,Assets, \"\"\n";
    let rows = rows.replace("\"\"", "x\\y");
    let (read, sink) = read_with(&rows, |_| {});
    assert_eq!(sink.0[1], r#"{"Segment": " x\\y"}"#);
    assert_eq!(read.unwrap().warnings, ["columns that Aura does not know are kept in extra: Segment"]);
}

#[test]
fn a_cell_that_a_short_record_lacks_is_blank_whatever_it_decides() {
    let toml = "[text]\nshort_records = 'pad'\n[columns]\nperiod = { message = 'period' }\nbs_pl = { value = 'BS' }\n\
                status = { value = 'Assets' }\n";
    let text = "account_code,account_name,balance,entity\n1,a,5,A\n2,b,6\n";
    assert_eq!(rows_through(toml, text).unwrap(), ["2:A/1=5", "3:A/2=6"], "the file holds no other slice");
    let two = format!("{text}3,c,7,B\n");
    let failure = rows_through(toml, &two).unwrap_err();
    assert_eq!(failure.rows[0].reason, "is blank, and the file holds several slices");
    let filled = format!("{toml}entity = {{ column = 'entity', fill_down = true }}\n");
    let text = "account_code,account_name,balance,entity\n1,a,5,B\n2,b,6\n3,c,7,A\n4,d,8\n";
    assert_eq!(rows_through(&filled, text).unwrap(), ["4:A/3=7", "5:A/4=8"]);
}

#[test]
fn more_lines_to_pass_over_than_a_file_has_leave_none() {
    for (key, code) in [("skip_lines", ErrorCode::SchemaInvalid), ("skip_after_header", ErrorCode::SliceNotFound)] {
        let failure = rows_through(&format!("[text]\n{key} = {}\n", i64::MAX), HEADER).unwrap_err();
        assert_eq!(failure.code, code, "{key}");
    }
}

#[test]
fn columns_by_place_are_counted_between_the_delimiters_at_the_ends() {
    let columns = "[columns]\naccount_code = 1\naccount_name = 2\nbalance = 3\nentity = { message = 'entity' }\n\
                   period = { message = 'period' }\nbs_pl = { value = 'BS' }\nstatus = { value = 'Assets' }\n";
    for (ends, text) in [
        ("leading_delimiter = true\ntrailing_delimiter = true", "|1|a|5|\n|2|b|6|\n"),
        ("leading_delimiter = true", "|1|a|5\n|2|b|6\n"),
        ("trailing_delimiter = true", "1|a|5|\n2|b|6|\n"),
    ] {
        let rows = rows_through(&format!("[text]\nheader = false\ndelimiter = '|'\n{ends}\n{columns}"), text);
        assert_eq!(rows.unwrap(), ["1:A/1=5", "2:A/2=6"], "{text}");
    }
}

#[test]
fn totals_must_match() {
    let rows = "A,2022-06,1,x,1.5,BS,A\nA,2022-06,2,x,-1,BS,A\n";
    let control = Control { rows: Some(3), balance_sum: Some("0.6".parse().unwrap()) };
    let mismatch = failure(rows, |request| request.control = control);
    assert_eq!(
        mismatch.message,
        "the message says 3 rows, the file has 2; the message says a sum of 0.6, the file has 0.5"
    );
    let unbalanced = failure(rows, |request| request.require_balanced = true);
    assert_eq!(unbalanced.code, ErrorCode::OutOfBalance);
    let tolerance = "0.5".parse().unwrap();
    let (read, _) = read_with(rows, |request| (request.require_balanced, request.nil_tolerance) = (true, tolerance));
    assert!(read.is_ok());
}

#[test]
fn an_empty_file_lacks_every_column_and_a_header_alone_has_no_row() {
    let empty = failure("entity\n", |_| {});
    assert_eq!(empty.code, ErrorCode::SchemaInvalid);
    assert_eq!(failure("", |_| {}).message, "the file has no row");
}

/// Reads the slice A 2022-06 through a profile: its rows, or the failure's code.
fn through(profile: &str, text: &str) -> Result<Vec<String>, String> {
    let slice = slice();
    let profile = MappingProfile::parse("erp".parse().unwrap(), profile).map_err(|invalid| invalid.to_string())?;
    let request = request(&slice, &profile);
    let mut sink = Collected::default();
    let read = read_until_settled(|assumptions| {
        sink = Collected::default();
        read(text.as_bytes(), &request, assumptions, &mut sink)
    });
    read.map(|_| sink.0).map_err(|failure| format!("{}: {}", failure.code, failure.message))
}

/// A file's own columns except entity, period, bs_pl and status.
const BRIEF: &str = "[columns]\nentity = { message = 'entity' }\nperiod = { message = 'period' }\nbs_pl = { value = 'BS' }\n\
                     status = { value = 'Assets' }\n";

#[test]
fn a_title_with_an_open_quote_draws_no_row_into_itself() {
    let profile = format!("[text]\nheader_contains = ['account_code']\n{BRIEF}");
    let text = "\"Report of the month\naccount_code,account_name,balance\n1,x,5\n\"Page 2\naccount_code,account_name,balance\n2,x,6\n";
    assert!(through(&profile, text).unwrap_err().starts_with("csv_malformed"));
    let titled = "5\" pipes, say\naccount_code,account_name,balance\n1,x,5\n";
    assert_eq!(through(&profile, titled).unwrap(), ["3:A/1=5"]);
}

#[test]
fn lines_below_the_header_are_passed_over_whatever_they_hold() {
    let profile = format!("[text]\nskip_after_header = 1\n{BRIEF}");
    for units in ["", "\"unit;;EUR", ",,EUR"] {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("account_code,account_name,balance\n{units}\n1,x,5\n2,y,6\n").replace('\n', end);
            assert_eq!(through(&profile, &text).unwrap(), ["3:A/1=5", "4:A/2=6"], "{units:?} {end:?}");
        }
    }
}

#[test]
fn no_delimiter_is_guessed_without_a_header() {
    let profile = format!(
        "[text]\nheader = false\ncolumn_names = ['account_code', 'balance']\n{BRIEF}account_name = {{ value = 'x' }}\n"
    );
    assert!(through(&profile, "1000;1,50\n").unwrap_err().starts_with("schema_invalid"));
}

#[test]
fn blanks_of_any_kind_are_blank() {
    let text = format!("{HEADER}A,2022-06,\u{a0},Total,100,BS,A\n");
    assert!(through("", &text).unwrap_err().contains("account_code: is blank"));
    let text = format!("{HEADER}\u{3000},\u{a0},,,,,\nA\u{a0},2022-06,1,x,5,BS,A\n");
    assert_eq!(through("", &text).unwrap(), ["3:A/1=5"]);
}

#[test]
fn a_row_that_no_job_could_load_is_bad() {
    for row in ["2,Cash, Bank,A,2022-06,6,BS,A", "a,2022-06,2,x,6,BS,A", "A,2022-6,2,x,6,BS,A", "Total,,,,6,,"] {
        let text = format!("{HEADER}A,2022-06,1,x,5,BS,A\n{row}\n");
        assert!(through("", &text).unwrap_err().starts_with("row_invalid"), "{row}");
    }
    let text = format!("{HEADER}A,2022-06,1,x,5,BS,A\nB,2022-06,short\n");
    assert_eq!(through("", &text).unwrap(), ["2:A/1=5"], "another job's bad row is that job's");
}

#[test]
fn a_decimal_mark_that_the_remaining_rows_contradict_is_not_kept() {
    let text = format!("{HEADER},2022-06,1,x,\"1,5\",BS,A\nA,2022-06,2,x,1.234,BS,A\nB,2022-06,3,x,2.50,BS,A\n");
    let slice = slice();
    let profile = MappingProfile::default();
    let request = Request { on_error: OnError::Quarantine, ..request(&slice, &profile) };
    let mut sink = Collected::default();
    let settled = read_until_settled(|assumptions| {
        sink = Collected::default();
        read(text.as_bytes(), &request, assumptions, &mut sink)
    });
    match settled {
        Ok(_) => assert_eq!(sink.0, ["3:A/2=1.234"]),
        Err(failure) => assert_eq!(failure.code, ErrorCode::AmbiguousAmounts),
    }
}

#[test]
fn a_mark_beside_a_side_that_the_column_tells_is_refused() {
    let profile = format!(
        "[amounts]\ndebit_marks = ['Dr']\ncredit_marks = ['Cr']\n[balance]\ndebit = 'd'\ncredit = 'c'\n{BRIEF}"
    );
    let text = "account_code,account_name,d,c\n1,x,,100 Cr\n";
    assert!(through(&profile, text).unwrap_err().contains("has two signs"));
}

#[test]
fn both_rows_of_a_line_are_made_or_none() {
    let profile =
        format!("repeated_keys = 'sum'\n[contra]\naccount_code = {{ column = 'gegen', fill_down = true }}\n{BRIEF}");
    let text = "account_code,account_name,gegen,balance\n1,x,9,5\n2,y,,-7\n";
    assert_eq!(through(&profile, text).unwrap(), ["2:A/1=5", "2:A/9=-5", "3:A/2=-7", "3:A/9=7"]);
}

#[test]
fn edges_of_lines_are_where_the_header_has_them() {
    let profile = format!(
        "extra_columns = 'drop'\n[text]\ndelimiter = '|'\nleading_delimiter = true\nshort_records = 'pad'\n[balance]\ndebit = 'Soll'\ncredit = 'Haben'\n\
                           {BRIEF}account_code = 'Konto'\naccount_name = 'Name'\n"
    );
    let text = "Dept|Konto|Name|Soll|Haben\n|2000|777|5|9\n";
    assert_eq!(through(&profile, text).unwrap(), ["2:A/2000=-4"]);
    let framed = "|Dept|Konto|Name|Soll|Haben\n|x|1|n|5|\ny|2|n|5|1\n";
    assert!(through(&profile, framed).unwrap_err().starts_with("row_invalid"));
}

#[test]
fn mistakes_of_a_profile_that_would_move_figures_are_refused() {
    for (profile, told) in [
        ("[amounts]\npadding = '0'", "padding has '0'"),
        ("[amounts]\ndebit_marks = ['40']", "debit_marks has \"40\""),
        ("[amounts]\ncurrency = ['-']", "currency has \"-\""),
        ("[amounts]\ndebit_marks = ['cr']\ncredit_marks = ['Cr']", "stands under debit_marks and credit_marks"),
        ("[amounts]\ndecimal = '.'\nthousands = '.'", "the same mark"),
        ("[text]\ncolumn_names = ['a']", "column_names go with header = false"),
        ("[text]\nheader = false\nheader_rows = 2", "goes with neither"),
        ("[text]\ndelimiter = ';'\nquote = ';'", "the same character"),
        ("[rows]\ndrop = [{ column = 'a', is = 'Total ' }]", "spaces at its ends"),
        ("[columns]\nbalance = { column = 'a', fill_down = true }", "fill_down would count again"),
        ("[columns]\nstatus = { column = 'a', format = 'MM/YYYY' }", "format is for the period"),
        ("repeated_keys = 'last'\n[contra]\naccount_code = 'a'", "does not go with [contra]"),
        ("[columns]\nstatus = { value = \"a\\u0000\" }", "NUL"),
    ] {
        let refused = through(profile, "").unwrap_err();
        assert!(refused.starts_with("line ") && refused.contains(told), "{profile}: {refused}");
    }
    let implied = format!("[amounts]\nthousands = '.'\n{BRIEF}");
    assert_eq!(through(&implied, "account_code;account_name;balance\n1;x;1.234\n").unwrap(), ["2:A/1=1234"]);
}

/// The slice A 2022-06 as a profile reads it, and its rows.
fn checked(profile: &str, text: &str) -> (CheckedSlice, Vec<String>) {
    let slice = slice();
    let profile = MappingProfile::parse("erp".parse().unwrap(), profile).unwrap();
    let request = request(&slice, &profile);
    let mut sink = Collected::default();
    let read = read_until_settled(|assumptions| {
        sink = Collected::default();
        read(text.as_bytes(), &request, assumptions, &mut sink)
    });
    (read.unwrap(), sink.0)
}

#[test]
fn a_contra_account_that_has_no_such_part_is_bad_or_left_out_in_rows_and_money() {
    let contra = "[contra]\naccount_code = { column = 'gegen', part = '^(\\d+)$' }\n";
    let text = "account_code;account_name;gegen;balance\n1200;x;8400x;50,00\n1300;y;8401;7,00\n";
    let refused = through(&format!("repeated_keys = 'sum'\n{contra}{BRIEF}"), text).unwrap_err();
    assert!(refused.contains("line 2, account_code: of the contra account has no such part"), "{refused}");
    let skips = format!("repeated_keys = 'sum'\n[rows]\nwithout_key = 'skip'\n{contra}{BRIEF}");
    let (read, rows) = checked(&skips, text);
    assert_eq!(rows, ["2:A/1200=50", "3:A/1300=7", "3:A/8401=-7"]);
    assert_eq!(read.warnings, ["rows left out by without_key of the contra account: 1; their balances sum to -50"]);
    assert_eq!(read.without_key, 1);
    let (read, rows) = checked(&skips, "account_code;account_name;gegen;balance\n;x;8400;50,00\n");
    assert_eq!(rows, ["2:A/8400=-50"], "the other side of a line is judged for itself");
    assert_eq!(read.warnings, ["rows left out by without_key: 1; their balances sum to 50"]);
    let (read, rows) = checked(&skips, "account_code;account_name;gegen;balance\n1200;x;;50,00\n");
    assert_eq!(rows, ["2:A/1200=50"]);
    assert_eq!(read.warnings, ["lines with no contra account: 1; their balances sum to 50"]);
}

#[test]
fn both_sides_of_a_line_have_amounts_of_their_own() {
    let profile = format!(
        "repeated_keys = 'sum'\n{BRIEF}account_code = '借方科目'\naccount_name = '借方科目'\nbalance = '借方金額'\n\
         debit_period = '借方金額'\n\
         [contra]\naccount_code = '貸方科目'\naccount_name = '貸方科目'\nbalance = '貸方金額'\ncredit_period = '貸方金額'\n"
    );
    let text = "借方科目,借方金額,貸方科目,貸方金額,摘要\n\
                普通預金,93000,資本金,100000,x\n支払手数料,7000,,,x\n,,現金,5,\n旅費,5,,0,\n,,,,memo\n";
    let (read, rows) = checked(&profile, text);
    let rows: Vec<_> = rows.iter().filter(|row| !row.starts_with('{')).collect();
    assert_eq!(rows, ["2:A/普通預金=93000", "2:A/資本金=-100000", "3:A/支払手数料=7000", "4:A/現金=-5", "5:A/旅費=5"]);
    assert!(read.columns.has("debit_period") && read.columns.has("credit_period"), "either row fills a column");
    assert_eq!(read.warnings[1..], ["lines with no account and no amount: 1; their balances sum to 0"]);
    for (line, told) in [
        (",7000,資本金,100000,x\n", "line 2, account_code: is blank"),
        ("普通預金,93000,,100000,x\n", "line 2, account_code: of the contra account is blank"),
    ] {
        let text = format!("借方科目,借方金額,貸方科目,貸方金額,摘要\n{line}");
        let refused = through(&profile, &text).unwrap_err();
        assert!(refused.contains(told), "{refused}");
    }
    let alone = "[contra]\naccount_code = 'a'\ncredit_period = 'b'";
    assert!(through(alone, "").unwrap_err().contains("amounts under [contra] need the balance"));
}

#[test]
fn whatever_a_rule_leaves_out_is_counted_in_rows_and_money() {
    let profile = format!(
        "[rows]\nkeep = [{{ column = 'account_code', matches = '^\\d+$' }}]\ndrop = [{{ column = 'account_name', is = 'old' }}]\n\
         end = [{{ column = 'account_code', is = 'Total' }}]\n{BRIEF}"
    )
    .replace("[rows]", "extra_columns = 'drop'\n[rows]");
    let text =
        "account_code,account_name,balance\n1,x,5\nA,y,2.50\n2,old,7\nB,z,n/a\nTotal,,5\n3,x,10\n4,x,11\n\n\"open";
    let (read, rows) = checked(&profile, text);
    assert_eq!(rows, ["2:A/1=5"]);
    assert_eq!(
        read.warnings,
        [
            "rows left out by keep account_code matches '^\\d+$': 2; their balances sum to 2.5, not counting those of 1 \
             that cannot be read",
            "rows left out by drop account_name is \"old\": 1; their balances sum to 7",
            "rows left out by end account_code is \"Total\": 3; their balances sum to 26",
            "what follows the row that ends the file cannot be read as rows, and is not counted",
        ]
    );
    assert_eq!(read.left_out, 6);
}

#[test]
fn a_side_that_is_negative_throughout_has_two_readings_unless_the_profile_says_which() {
    let profile = format!("extra_columns = 'drop'\n[balance]\ndebit = 'D'\ncredit = 'C'\n{BRIEF}");
    let text = "account_code,account_name,D,C\n1,Cash,150,\n2,Sales,0,-150.00\n";
    assert_eq!(
        through(&profile, text).unwrap_err(),
        "ambiguous_amounts: every amount under C that is not zero is negative, the first on line 3 (-150): with signed = \
         false, C is subtracted and the rows sum to 300; with signed = true it carries its minus already and they sum to 0; \
         say which under [balance] of the mapping profile"
    );
    let debits = "account_code,account_name,D,C\n1,Cash,-150,\n2,Sales,,7\n";
    assert!(through(&profile, debits).unwrap_err().contains("every amount under D"));
    for (signed, rows) in [("true", ["2:A/1=150", "3:A/2=-150"]), ("false", ["2:A/1=150", "3:A/2=150"])] {
        let said = profile.replace("credit = 'C'", &format!("credit = 'C'\nsigned = {signed}"));
        assert_eq!(through(&said, text).unwrap(), rows);
    }
    let both = "account_code,account_name,D,C\n1,Cash,150,\n2,Sales,0,-150.00\n3,Fees,,5\n";
    assert_eq!(through(&profile, both).unwrap(), ["2:A/1=150", "3:A/2=150", "4:A/3=-5"], "a posting taken back");
}

#[test]
fn natural_signs_are_turned_by_whatever_column_tells_the_class() {
    let profile = format!(
        "[balance]\ncolumn = 'balance'\nindicator = {{ column = 'account_code', part = '^(\\d)' }}\n\
         debit_values = ['1', '5']\ncredit_values = ['2', '4']\n{BRIEF}"
    );
    let text = "account_code,account_name,balance\n1000,Cash,100\n2000,Loan,60\n4000,Sales,70\n5000,Cost,30\n2100,Overpaid,-5\n";
    let rows = ["2:A/1000=100", "3:A/2000=-60", "4:A/4000=-70", "5:A/5000=30", "6:A/2100=5"];
    assert_eq!(through(&profile, text).unwrap(), rows);
    let mapped = profile.replace(
        "part = '^(\\d)' }\ndebit_values = ['1', '5']\ncredit_values = ['2', '4']",
        "part = '^(\\d)', map = { 1 = 'D', 5 = 'D', 2 = 'C', 4 = 'C' } }\ndebit_values = ['D']\ncredit_values = ['C']",
    );
    assert_eq!(through(&mapped, text).unwrap(), rows);
    let other = "account_code,account_name,balance\n9000,Stat,1\n";
    assert!(through(&mapped, other).unwrap_err().contains("has an indicator that is in no entry"));
}

#[test]
fn classes_and_names_that_are_blank_or_unknown_are_counted() {
    let text = format!("{HEADER}A,2022-06,1,x,1,BS,Assets\nA,2022-06,2,,1,banana,Assets\nA,2022-06,3,z,1,,Stuff\n");
    let (read, _) = checked("", &text);
    assert_eq!(
        read.warnings,
        [
            "rows without an account_name: 1",
            "rows without a bs_pl: 1",
            "rows whose bs_pl is none of BS, PL: 1",
            "rows whose status is none of Assets, Liabilities, Equity, Income, Expense: 1",
        ]
    );
    let counts = read.profile.class_counts;
    assert_eq!(counts.bs_pl.rows, [("BS".to_owned(), 1), ("banana".to_owned(), 1)].into());
    assert_eq!((counts.bs_pl.blank, counts.bs_pl.unknown), (1, vec!["banana".to_owned()]));
    let declared = "[columns]\nbs_pl = { column = 'bs_pl', one_of = ['BS', 'banana', ''] }\n\
                    status = { column = 'status', one_of = ['Assets', 'Stuff'] }";
    assert_eq!(checked(declared, &text).0.warnings, ["rows without an account_name: 1", "rows without a bs_pl: 1"]);
    let strict = "[columns]\nbs_pl = { column = 'bs_pl', one_of = ['BS', 'PL'] }";
    let refused = through(strict, &text).unwrap_err();
    assert!(
        refused.starts_with("row_invalid: 2 of 3 rows are bad; the first: line 3, bs_pl: is not one of BS, PL"),
        "{refused}"
    );
    assert!(
        through("[columns]\naccount_code = { column = 'a', one_of = ['1'] }", "")
            .unwrap_err()
            .contains("one_of is for texts")
    );
}

#[test]
fn encodings_are_tried_in_their_order_and_utf_8_that_is_read_otherwise_is_told() {
    let read_bytes = |encoding: &str, bytes: &[u8]| {
        let slice = slice();
        let profile = format!("[text]\nencoding = {encoding}\n");
        let profile = MappingProfile::parse("erp".parse().unwrap(), &profile).unwrap();
        let request = request(&slice, &profile);
        read_until_settled(|assumptions| {
            let mut sink = Collected::default();
            read(bytes, &request, assumptions, &mut sink)
        })
    };
    let utf_8 = format!("{HEADER}A,2022-06,1,Associés,1,BS,Assets\n");
    let latin = encoding_rs::WINDOWS_1252.encode(&utf_8).0.into_owned();
    for (bytes, encoding) in [(utf_8.as_bytes(), "UTF-8"), (&latin, "windows-1252")] {
        let read = read_bytes("['utf-8', 'windows-1252']", bytes).unwrap();
        assert_eq!((read.dialect.encoding, read.warnings), (Some(encoding), Vec::new()));
    }
    let told = read_bytes("'windows-1252'", utf_8.as_bytes()).unwrap().warnings;
    assert!(told[0].starts_with("the file is UTF-8 and is read as windows-1252"), "{told:?}");
    assert_eq!(read_bytes("'utf-8'", &latin).unwrap_err().code, ErrorCode::EncodingInvalid);
    assert_eq!(read_bytes("['utf-8', 'shift_jis']", b"a\xff\xff\n").unwrap_err().code, ErrorCode::EncodingInvalid);
    let refused = through("[text]\nencoding = ['utf-8', 'cp437']", "").unwrap_err();
    assert!(refused.contains("\"cp437\" is not a known encoding"), "{refused}");
}

#[test]
fn a_row_is_not_taken_for_headings_without_a_word() {
    let by_place = format!("extra_columns = 'drop'\n{BRIEF}account_code = 1\naccount_name = 2\nbalance = 3\n");
    let text = "1000,Cash,5\n2000,Debt,6\n";
    let refused = through(&by_place, text).unwrap_err();
    assert!(refused.contains("where the account code stands it has a figure; say header = false"), "{refused}");
    let refused = through(&by_place, "Kasse,Cash,\"5,00\"\n2000,Debt,6\n").unwrap_err();
    assert!(refused.contains("where an amount stands it has a figure"), "{refused}");
    assert_eq!(
        through(&format!("[text]\nheader = true\n{by_place}").replace("extra_columns = 'drop'\n", ""), text).unwrap(),
        ["2:A/2000=6"]
    );
    assert_eq!(through(&by_place, "Konto,Name,Saldo\n2000,Debt,6\n").unwrap(), ["2:A/2000=6"]);
    let named = format!("extra_columns = 'drop'\n{BRIEF}account_code = 1\naccount_name = 2\nbalance = '2022'\n");
    assert_eq!(through(&named, "Konto,Name,2022\n2000,Debt,6\n").unwrap(), ["2:A/2000=6"], "the profile names it");
}

#[test]
fn rows_that_are_added_up_and_differ_in_their_texts_are_told() {
    let text = format!(
        "{HEADER}A,2022-06,1010,Rent,1,PL,Income\nA,2022-06,1010,Rent,2,PL,Expense\nA,2022-06,1010,Miete,2,PL,Expense\n\
         A,2022-06,20,x,2,PL,Expense\n"
    );
    let (read, rows) = checked("repeated_keys = 'sum'", &text);
    assert_eq!(rows.len(), 4);
    assert_eq!(
        read.warnings,
        [
            "accounts whose rows are added up and differ in account_name: 1, the first on lines 2 and 4; the first row's \
             counts",
            "accounts whose rows are added up and differ in status: 1, the first on lines 2 and 3; the first row's counts",
        ]
    );
}

#[test]
fn rows_that_a_stray_quote_takes_into_a_cell_are_told() {
    let text = "account_code,account_name,balance\n10,x,5\n20,\"Main till,7\n30,Bank,-2\n40,Petty\",3\n50,y,-5\n";
    let (read, rows) = checked(BRIEF, text);
    assert_eq!(rows, ["2:A/10=5", "3:A/20=3", "6:A/50=-5"]);
    assert!(
        read.warnings.iter().any(|told| told.contains("in one cell: 1, the first on line 3")),
        "{:?}",
        read.warnings
    );
    let (read, _) = checked(BRIEF, "account_code,account_name,balance\n10,\"two\nlines, that is\",5\n");
    assert_eq!(read.warnings, [""; 0]);
    let plain = checked(&format!("[text]\nquote = 'none'\n{BRIEF}"), text);
    assert_eq!(plain.1.len(), 5);
}

#[test]
fn rows_that_give_way_to_a_later_one_are_told_in_rows_and_in_money() {
    let text = format!(
        "{HEADER}A,2022-06,10,x,100,BS,Assets\nA,2022-06,20,y,-100,BS,Assets\nA,2022-06,10,x,60,BS,Assets\n\
         A,2022-06,10,x,55,BS,Assets\n"
    );
    let (read, rows) = checked("repeated_keys = 'last'", &text);
    assert_eq!(rows.len(), 4);
    assert_eq!(
        read.warnings,
        [
            "rows that give way to a later one of the same account: 2; their balances sum to 160; control totals and the \
             nil check count them"
        ]
    );
    assert_eq!(checked("repeated_keys = 'sum'", &text).0.warnings, [""; 0]);
}

#[test]
fn an_optional_column_of_the_second_row_may_lack_and_its_account_may_not() {
    let profile = format!("repeated_keys = 'sum'\n[contra]\naccount_code = 'gegen'\ndepartment = 'kst'\n{BRIEF}");
    let rows = through(&profile, "account_code,account_name,balance,gegen\n10,x,5,20\n").unwrap();
    assert_eq!(rows, ["2:A/10=5", "2:A/20=-5"]);
    let lacking = through(&profile, "account_code,account_name,balance,kst\n10,x,5,7\n").unwrap_err();
    assert!(lacking.contains("takes account_code from gegen, which the file lacks"), "{lacking}");
}

#[test]
fn a_heading_by_which_the_header_is_known_may_have_others_in_its_place() {
    let profile = format!("[text]\nheader_contains = [['Saldo', 'balance'], 'account_code']\n{BRIEF}");
    let text = "Title,account_code,x\naccount_code,account_name,balance\n10,x,5\n";
    assert_eq!(through(&profile, text).unwrap(), ["3:A/10=5"]);
    let none = through(&profile, "account_code,account_name,amount\n10,x,5\n").unwrap_err();
    assert!(none.contains("all the cells of header_contains: Saldo or balance, account_code"), "{none}");
    let empty = through(&format!("[text]\nheader_contains = [[]]\n{BRIEF}"), text).unwrap_err();
    assert!(empty.contains("a list of headings is empty"), "{empty}");
}

#[test]
fn a_profile_with_an_open_question_does_not_load() {
    for (profile, told) in [
        (
            "mode = 'upsert'\n[balance]\nsigned = \"?\"   # do credits carry their minus?",
            "line 3: signed is left open: do credits",
        ),
        ("[columns]\nstatus = '?'", "line 2: status is left open: say what it is"),
    ] {
        assert!(through(profile, "").unwrap_err().starts_with(told), "{profile}");
    }
    let token = format!("[amounts]\nempty = ['?']\n# status = \"?\"\n{BRIEF}");
    assert_eq!(through(&token, "account_code,account_name,balance\n1,x,?\n2,y,5\n").unwrap(), ["2:A/1=0", "3:A/2=5"]);
}

#[test]
fn what_a_profile_or_a_file_lacks_is_said_in_plain_words() {
    let refused = through("[rows]\nkeep = [{ column = 1, matches = \"^\\d+$\" }]", "").unwrap_err();
    assert!(refused.starts_with("line 2") && refused.contains("in single quotes"), "{refused}");
    let other = through(BRIEF, "Konto,Name,Saldo\n1,x,5\n").unwrap_err();
    assert!(other.ends_with("the file has Konto, Name, Saldo"), "{other}");
    let one = through(&format!("[text]\ndelimiter = '|'\n{BRIEF}"), "account_code;balance\n1;5\n").unwrap_err();
    assert!(one.contains("a single column, whose name holds what may be the delimiter: \";\""), "{one}");
}
