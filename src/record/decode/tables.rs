//! Tables of the query API and of the Kusto REST API that stand within a line or a value.

use super::super::export;
use super::super::scan::{Fault, Scan};
use super::Decoder;

/// One table or frame, as JSON.
#[derive(Default)]
struct Table<'a> {
    columns: Vec<String>,
    /// Where its rows are.
    rows: Option<(usize, &'a str)>,
    /// Whether it says that it is the answer.
    primary: Option<bool>,
    frame: bool,
}

impl<'a> Table<'a> {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let (mut first, mut table) = (true, Table::default());
        scan.open(b'{')?;
        while let Some(key) = scan.key(&mut first)? {
            scan.space();
            let (at, raw) = (scan.at(), scan.skip()?);
            match key.raw {
                "columns" | "Columns" => table.columns = column_names(raw),
                "rows" | "Rows" => table.rows = Some((at, raw)),
                "TableKind" => table.primary = Some(raw == "\"PrimaryResult\""),
                "FrameType" => table.frame = true,
                _ => {}
            }
        }
        Ok(table)
    }
}

impl Decoder {
    /// `[{"name":…,"columns":[{"name":…}],"rows":[[…]]}]`
    pub(super) fn tables(&mut self, scan: &mut Scan<'_>, offset: u64) -> Result<(), Fault> {
        scan.open(b'[')?;
        let (mut first, mut is_first) = (true, true);
        while scan.element(&mut first)? {
            scan.peek()?;
            self.start = scan.at();
            let table = Table::read(scan)?;
            self.rows_of(&table, is_first, offset)?;
            is_first = false;
        }
        Ok(())
    }

    /// One of Kusto's frames; false if `text` is none.
    pub(super) fn table(&mut self, text: &str, offset: u64) -> bool {
        match Table::read(&mut Scan::new(text)) {
            Ok(table) if table.frame => {
                let read = self.rows_of(&table, false, offset);
                if let Err(fault) = read {
                    self.reject(text.as_bytes(), offset, fault.to_string());
                }
                true
            }
            _ => false,
        }
    }

    fn rows_of(&mut self, table: &Table<'_>, is_first: bool, offset: u64) -> Result<(), Fault> {
        let Some((at, rows)) = table.rows else { return Ok(()) };
        let logs = export::is_of_logs(table.columns.iter().map(String::as_str));
        if table.primary == Some(false) || (!logs && !is_first && table.primary.is_none()) {
            return Ok(());
        }
        let (mut scan, mut first) = (Scan::new(rows), true);
        scan.open(b'[')?;
        while scan.element(&mut first)? {
            scan.space();
            let (start, row) = (scan.at(), scan.skip()?);
            self.table_row(&table.columns, row, offset + (at + start) as u64);
        }
        Ok(())
    }
}

/// Names out of `[{"name":"TimeGenerated","type":"datetime"},…]`, or plain `["TimeGenerated",…]`.
fn column_names(raw: &str) -> Vec<String> {
    let columns: Vec<serde_json::Value> = serde_json::from_str(raw).unwrap_or_default();
    let name = |column: &serde_json::Value| {
        let names = [column, &column["name"], &column["Name"], &column["ColumnName"]];
        names.into_iter().find_map(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    columns.iter().map(name).collect()
}
