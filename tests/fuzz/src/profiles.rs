//! Profiles: any text as one, and those that files are read through.

use std::sync::LazyLock;

use shared::{file::mapping_profile::MappingProfile, fingerprint::Fingerprint};

use super::files::read_in_every_way;

/// Profiles that between them say everything that a profile can say.
const CHOICES: [&str; 12] = [
    "",
    "[text]\ndelimiter = ';'\nencoding = 'windows-1252'\n[amounts]\ndecimal = ','\n",
    "[text]\nheader = false\ncolumn_names = ['account_code', 'account_name', 'balance']\nshort_records = 'pad'\n\
     long_records = 'cut'\n[columns]\nentity = { message = 'entity' }\nperiod = { message = 'period' }\n\
     bs_pl = { value = 'BS' }\nstatus = { value = 'x' }\n",
    "[text]\nheader = false\nquote = 'none'\nline_end = 'lf'\nencoding = 'utf-16le'\ntrim_cells = true\n[columns]\n\
     entity = { message = 'entity' }\nperiod = { column = 1, format = ['YYYY-MM', 'M/YY', 'MMM Y*'], if_blank = '2022-06' }\n\
     account_code = 2\naccount_name = { columns = [1, 2], join = '/' }\nbalance = 3\nbs_pl = { value = 'BS' }\n\
     status = { value = 'x' }\n",
    "repeated_keys = 'sum'\n[text]\nheader = false\nencoding = 'shift_jis'\nshort_records = 'pad'\nlong_records = 'blank'\n\
     skip_lines = 2\n[balance]\ndebit = 2\ncredit = 3\n[contra]\naccount_code = 4\n[columns]\nentity = { message = 'entity' }\n\
     period = { message = 'period' }\naccount_code = 1\naccount_name = 1\nbs_pl = { value = 'BS' }\nstatus = { value = 'x' }\n",
    "[text]\nheader = false\nquote = \"'\"\nline_breaks_in_quotes = false\nleading_delimiter = true\n\
     trailing_delimiter = true\nlong_records = 'cut'\nshort_records = 'pad'\n[balance]\ncolumn = 2\nindicator = 3\n\
     debit_values = ['S', '40']\ncredit_values = ['H']\nnegate = true\n[columns]\nentity = { message = 'entity' }\n\
     period = { message = 'period' }\naccount_code = { column = 1, part = '^(\\d+)', zeros = 'cut', pad_to = 4 }\n\
     account_name = { column = 1, part = '\\d+\\s*(.*)', if_blank = '?' }\nbs_pl = { value = 'BS' }\nstatus = { value = 'x' }\n",
    "[text]\nheader_contains = ['Konto', 'Saldo']\nheader_rows = 2\nskip_after_header = 1\nrepeated_headers = 'number'\n\
     [rows]\nkeep = [{ column = 1, blank = false }]\ndrop = [{ column = '*', starts_with = 'Sum' }]\n\
     end = [{ column = 1, matches = '^Total' }]\nwithout_key = 'skip'\n[columns]\nentity = { message = 'entity' }\n\
     period = { message = 'period' }\naccount_code = 1\naccount_name = { column = 2, fill_down = true }\nbalance = 3\n\
     bs_pl = { value = 'BS' }\nstatus = { value = 'x' }\n",
    "[text]\nheader = false\nencoding = 'gb18030'\nlong_records = 'cut'\n[amounts]\nempty = ['-']\ncurrency = ['€']\n\
     debit_marks = ['Dr', 'D']\ncredit_marks = ['Cr', 'C']\nscientific = true\npadding = '*'\n[columns]\n\
     entity = { column = 1, map = { a = 'A', b = 'B' }, otherwise = '' }\nperiod = { message = 'period' }\naccount_code = 2\n\
     account_name = 2\nbalance = 3\nbalance_carryforward = 4\ndebit_period = 5\nbs_pl = { value = 'BS' }\n\
     status = { value = 'x' }\n",
    "[text]\nheader = false\nencoding = 'utf-16be'\ndelimiter = 'tab'\n[columns]\nentity = 1\nperiod = 2\naccount_code = 3\n\
     account_name = 3\nbalance = 4\nbs_pl = { value = 'BS' }\nstatus = { value = 'x' }\n",
    "[text]\nheader = false\nencoding = 'iso-2022-jp'\nlong_records = 'cut'\n[columns]\nentity = { message = 'entity' }\n\
     period = { message = 'period' }\naccount_code = 1\naccount_name = 2\nbalance = 3\nbs_pl = { value = 'BS' }\n\
     status = { value = 'x' }\n",
    "extra_columns = ['x']\n[text]\nsheet = 1\n[columns]\nentity = { message = 'entity' }\nperiod = { message = 'period' }\n\
     account_code = 1\naccount_name = 1\nbalance = 2\nbs_pl = { value = 'BS' }\nstatus = { value = 'x' }\n",
    "[text]\nheader = false\ndelimiter = ' '\nquote = '|'\nshort_records = 'pad'\nlong_records = 'cut'\n[rows]\n\
     drop = [{ column = 9, is_not = ['', 'y'] }, { column = 1, ends_with = '!' }, { column = '*', matches_not = '.' }]\n\
     [columns]\nentity = { column = 4, fill_down = true, if_blank = 'A' }\nperiod = { message = 'period' }\n\
     account_code = { column = 1, fill_down = true }\naccount_name = 2\nbalance = 3\nbs_pl = { value = 'BS' }\n\
     status = { value = 'x' }\n",
];

/// The profiles of [`CHOICES`].
pub(super) static PARSED: LazyLock<Vec<MappingProfile>> = LazyLock::new(|| {
    let name = || "erp".parse().expect("a source's name");
    let parse = |toml: &&str| MappingProfile::parse(name(), toml).unwrap_or_else(|fault| panic!("{fault} in {toml}"));
    CHOICES.iter().map(parse).collect()
});

/// Files that any profile is tried on.
const FILES: [&str; 4] = [
    "entity,period,account_code,account_name,balance,bs_pl,status\nA,2022-06,1,x,1.50,BS,A\n,,2,\"y\nz\",-2,PL,B\n",
    "Title\n\nKonto;Name;Soll;Haben\n0010;Kasse;1.234,50;\nSumme;;1.234,50;0,00\n",
    "|Account|Name|Balance|\n|--|--|--|\n|1|a|(5.00)|\n|2|b|5.00|\n",
    "",
];

/// Reads a text as a profile, and small files through it.
pub fn profile(bytes: &[u8]) {
    let Ok(toml) = std::str::from_utf8(bytes) else { return };
    let name = "erp".parse().expect("a source's name");
    let profile = match MappingProfile::parse(name, toml) {
        Ok(profile) => profile,
        Err(fault) => {
            assert!((1..=toml.split('\n').count()).contains(&fault.line), "line {} of {toml:?}", fault.line);
            assert!(!fault.reason.is_empty());
            return;
        }
    };
    let hash = profile.hash();
    assert_ne!(hash, Fingerprint::of(b""), "the profile has no canonical form: {toml}");
    assert_eq!(hash, profile.clone().hash());
    for file in FILES {
        read_in_every_way(file.as_bytes(), &profile);
    }
}
