-- What evaluations reflect. `hours` is what was last seen of the store: records by hour, and the change that last brought some.
CREATE TABLE hours (
    hour INTEGER PRIMARY KEY,
    records INTEGER NOT NULL,
    change INTEGER NOT NULL
) STRICT;

-- Windows that end in (from_time, to_time] were not evaluated since the change, or never. Disjoint within a rule.
CREATE TABLE stale (
    rule_id TEXT NOT NULL,
    from_time INTEGER NOT NULL,
    to_time INTEGER NOT NULL,
    change INTEGER NOT NULL,
    PRIMARY KEY (rule_id, from_time)
) STRICT, WITHOUT ROWID;

-- The change up to which a rule's stale windows are worked out.
CREATE TABLE rules_noted (rule_id TEXT PRIMARY KEY, change INTEGER NOT NULL) STRICT;
