//! What is known of the tables within a document: the query API's, whose first is the answer, and those of the Kusto REST
//! API, which say what they are: `{"Tables":[…]}` in its first version, a list of frames in its second
//! (`DataSetHeader`, `DataTable`; progressive: `TableHeader`, `TableFragment`, …).

use std::sync::Arc;

use serde::Deserialize;

/// The key that Kusto's frames begin with, in quotes.
pub(super) const FRAME_KEY: &[u8] = b"\"FrameType\"";

/// The most tables whose columns are kept for fragments that follow.
const MAX_TABLES: usize = 64;

/// The tables of a document.
#[derive(Debug, Default)]
pub(super) struct Tables {
    current: Table,
    /// Tables that have been opened.
    count: u64,
    /// Tables with an id, for fragments of their rows.
    known: Vec<(u64, Table)>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    id: Option<u64>,
    /// Whether it says that it is the answer.
    primary: Option<bool>,
    columns: Option<Arc<Vec<String>>>,
}

/// A column, in the spelling of any version of the APIs, or as a bare name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Column {
    Object {
        #[serde(alias = "Name", alias = "ColumnName", alias = "columnName")]
        name: String,
    },
    Name(String),
}

impl Tables {
    /// A table or frame begins.
    pub(super) fn open(&mut self) {
        self.current = Table::default();
        self.count += 1;
    }

    /// It ends.
    pub(super) fn close(&mut self) {
        let table = std::mem::take(&mut self.current);
        if let Some(id) = table.id
            && table.columns.is_some()
            && self.known.len() < MAX_TABLES
        {
            self.known.push((id, table));
        }
    }

    /// Its `TableKind`, as JSON.
    pub(super) fn kind(&mut self, text: &[u8]) {
        self.current.primary = Some(text.eq_ignore_ascii_case(b"\"PrimaryResult\""));
    }

    /// Its `TableId`, as JSON.
    pub(super) fn id(&mut self, text: &[u8]) {
        let Ok(id) = serde_json::from_slice(text) else { return };
        self.current.id = Some(id);
        if let Some((_, table)) = self.known.iter().rev().find(|(known, _)| *known == id)
            && self.current.columns.is_none()
        {
            self.current.clone_from(table);
        }
    }

    /// Its `columns`, as JSON.
    pub(super) fn read_columns(&mut self, text: &[u8]) -> Result<(), serde_json::Error> {
        let columns: Vec<Column> = serde_json::from_slice(text)?;
        let name = |(Column::Object { name } | Column::Name(name))| name;
        self.current.columns = Some(Arc::new(columns.into_iter().map(name).collect()));
        Ok(())
    }

    /// The names of its columns, once they are known.
    pub(super) fn columns(&self) -> Option<Arc<Vec<String>>> {
        self.current.columns.clone().or_else(|| self.announced()?.columns.clone())
    }

    /// The answer's table whose rows come in fragments, for a fragment that has not said whose it is.
    fn announced(&self) -> Option<&Table> {
        let tables = self.known.iter().rev().map(|(_, table)| table);
        tables.filter(|_| self.current.id.is_none()).find(|table| table.primary == Some(true))
    }

    /// Whether it is the answer and no table about it; `None` where it does not say.
    pub(super) fn is_primary(&self) -> Option<bool> {
        let announced = || self.current.columns.is_none().then(|| self.announced()?.primary).flatten();
        self.current.primary.or_else(announced)
    }

    /// Whether no table came before it.
    pub(super) fn is_first(&self) -> bool {
        self.count == 1
    }
}
