//! Files with a fault, made from good ones.

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A balance is not an amount.
    BadAmount,
    /// An account stands there twice.
    DuplicateKey,
    /// The column `bs_pl` has another name.
    MissingColumn,
    /// A quote is opened and never closed.
    UnclosedQuote,
    /// A row has a cell too few.
    ShortRow,
    /// The bytes are no UTF-8.
    BadEncoding,
    /// Another entity's rows, and none of the slice's own.
    OtherSlice,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::BadAmount,
        Self::DuplicateKey,
        Self::MissingColumn,
        Self::UnclosedQuote,
        Self::ShortRow,
        Self::BadEncoding,
        Self::OtherSlice,
    ];
}

/// The bytes of a good file with a fault in the middle.
pub fn with_fault(good: &str, fault: Fault) -> Vec<u8> {
    let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
    let middle = lines.len() / 2;
    match fault {
        Fault::BadAmount => {
            let place = lines[0].split(',').position(|name| name == "balance").expect("a balance");
            // The cells before the balance may be quoted, so the file's own order is not relied on here.
            let cells = split(&lines[middle]);
            let bad = cells.iter().enumerate().map(|(at, cell)| if at == place { "12.3x4" } else { cell });
            lines[middle] = bad.collect::<Vec<_>>().join(",");
        }
        Fault::DuplicateKey => lines.push(lines[middle].clone()),
        Fault::MissingColumn => lines[0] = lines[0].replace("bs_pl", "sheet"),
        Fault::UnclosedQuote => {
            let line = &mut lines[middle];
            let comma = line.rfind(',').expect("more than one cell");
            line.replace_range(comma.., ",\"never closed");
        }
        Fault::ShortRow => {
            let line = &mut lines[middle];
            line.truncate(line.rfind(',').expect("more than one cell"));
        }
        Fault::BadEncoding => {
            let mut bytes = good.as_bytes().to_vec();
            let place = bytes.len() / 2;
            bytes[place] = 0xff;
            return bytes;
        }
        Fault::OtherSlice => {
            for line in lines.iter_mut().skip(1) {
                let comma = line.find(',').expect("more than one cell");
                line.replace_range(..comma, "ELSE");
            }
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}

/// A line's cells with the quotes that they have; the samples have no line breaks in cells.
fn split(line: &str) -> Vec<&str> {
    let (mut cells, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => inside = !inside,
            b',' if !inside => {
                cells.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    cells.push(&line[start..]);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial_balance::TrialBalance;

    #[test]
    fn every_fault_changes_the_file_and_only_a_little() {
        let good = TrialBalance::new("ABEX", "2022-06", 20, 1).text();
        for fault in Fault::ALL {
            let bad = with_fault(&good, fault);
            assert_ne!(bad, good.as_bytes(), "{fault:?}");
            assert!(bad.len().abs_diff(good.len()) < 400, "{fault:?}");
        }
        let bad = String::from_utf8(with_fault(&good, Fault::BadAmount)).unwrap();
        assert_eq!(bad.matches("12.3x4").count(), 1);
    }
}
