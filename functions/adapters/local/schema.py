"""What the one SQLite file of the local target holds, and how an earlier version of it becomes this one."""

APPLICATION_ID = 0x54525045  # "TRPE", in the header of the file
SCHEMA_VERSION = 4

_ADDED_IN_3 = """
CREATE TABLE awaited (
    joining TEXT NOT NULL,
    generation INTEGER NOT NULL,
    position INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (joining, generation, position)
) WITHOUT ROWID;
CREATE INDEX awaited_of_request ON awaited (tenant, request);
CREATE INDEX linked_request ON request (tenant, origin) WHERE origin != '';
CREATE INDEX letter_of_request ON dead_letter (tenant, request);
CREATE INDEX redriven_letter ON dead_letter (tenant, redriven_as) WHERE redriven_as != '';
CREATE TABLE process (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    started REAL NOT NULL,
    plans TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE plan (
    version TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    seen REAL NOT NULL,
    topology BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE pace (
    tenant TEXT NOT NULL,
    conversation TEXT NOT NULL,
    minute INTEGER NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation)
) WITHOUT ROWID;
CREATE TABLE effect (
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    key TEXT NOT NULL,
    conversation TEXT NOT NULL,
    action TEXT NOT NULL,
    status TEXT NOT NULL,
    sent BLOB NOT NULL,
    received BLOB,
    at REAL NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX effect_of_request ON effect (tenant, request);
CREATE TABLE held (
    tenant TEXT NOT NULL,
    conversation TEXT NOT NULL,
    collection TEXT NOT NULL,
    point TEXT NOT NULL,
    passage BLOB NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (tenant, conversation, collection, point)
) WITHOUT ROWID;
CREATE INDEX holding ON held (tenant, collection, point);
CREATE TABLE erasing (
    erasure TEXT NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL DEFAULT '',
    collection TEXT NOT NULL DEFAULT '',
    item TEXT NOT NULL,
    PRIMARY KEY (erasure, kind, tenant, collection, item)
) WITHOUT ROWID;
"""
_ADDED_IN_4 = """
CREATE TABLE home (id TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO home VALUES (lower(hex(randomblob(8))));
CREATE TABLE collection (
    place TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (place, name)
) WITHOUT ROWID;
CREATE TABLE filling (
    place TEXT NOT NULL,
    collection TEXT NOT NULL,
    number INTEGER NOT NULL,
    progress BLOB NOT NULL,
    PRIMARY KEY (place, collection, number)
) WITHOUT ROWID;
CREATE TABLE original (
    tenant TEXT NOT NULL,
    token TEXT NOT NULL,
    sealed BLOB NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (tenant, token)
) WITHOUT ROWID;
CREATE INDEX expiring_original ON original (expires);
CREATE TABLE token_key (id BLOB NOT NULL);
CREATE TABLE carrier (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    encoders TEXT NOT NULL
) WITHOUT ROWID;
"""

SCHEMA = (
    """
CREATE TABLE queue (
    receipt INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    agent TEXT NOT NULL,
    priority TEXT NOT NULL,
    due REAL NOT NULL,
    envelope BLOB NOT NULL,
    planversion TEXT NOT NULL DEFAULT '',
    holder TEXT NOT NULL DEFAULT '',
    UNIQUE (envelope_id, generation, agent)
);
CREATE TABLE delivery (
    key TEXT NOT NULL,
    agent TEXT NOT NULL,
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    event TEXT NOT NULL,
    emitted REAL NOT NULL,
    attempts INTEGER NOT NULL,
    lease_until REAL NOT NULL,
    started REAL,
    finished REAL,
    error TEXT NOT NULL DEFAULT '',
    changed INTEGER NOT NULL DEFAULT 0,
    holder TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, request, key)
) WITHOUT ROWID;
CREATE TABLE part (
    joining TEXT NOT NULL,
    generation INTEGER NOT NULL,
    position INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (joining, generation, position)
) WITHOUT ROWID;
CREATE INDEX part_of_request ON part (tenant, request);
CREATE TABLE joined (
    joining TEXT NOT NULL,
    generation INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (joining, generation)
) WITHOUT ROWID;
CREATE INDEX joined_of_request ON joined (tenant, request);
CREATE TABLE request (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    conversation TEXT NOT NULL,
    workflow TEXT NOT NULL,
    status TEXT NOT NULL,
    accepted REAL NOT NULL,
    deadline REAL NOT NULL,
    settled REAL,
    tokens INTEGER NOT NULL DEFAULT 0,
    micros INTEGER NOT NULL DEFAULT 0,
    envelope BLOB NOT NULL,
    settlement BLOB,
    planversion TEXT NOT NULL DEFAULT '',
    origin TEXT NOT NULL DEFAULT '',
    generation INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, request)
);
CREATE INDEX open_request ON request (tenant, conversation, sequence) WHERE status != 'settled';
CREATE TABLE written (
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    changed INTEGER NOT NULL,
    agent TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (tenant, request, changed)
) WITHOUT ROWID;
CREATE TABLE stopped (
    scope TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    at REAL NOT NULL DEFAULT 0,
    who TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE dead_letter (
    key TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    trace TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    age_s REAL NOT NULL,
    at REAL NOT NULL,
    tenant TEXT NOT NULL,
    conversation TEXT NOT NULL,
    request TEXT NOT NULL,
    event BLOB NOT NULL,
    redriven REAL,
    redriven_as TEXT NOT NULL DEFAULT '',
    generation INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE message (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    conversation TEXT NOT NULL,
    key TEXT NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    at REAL NOT NULL,
    request TEXT NOT NULL DEFAULT '',
    UNIQUE (tenant, conversation, key)
);
CREATE INDEX message_by_age ON message (at);
CREATE TABLE document (
    corpus TEXT NOT NULL,
    source TEXT NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (corpus, source)
) WITHOUT ROWID;
"""
    + _ADDED_IN_3
    + _ADDED_IN_4
)

# From a version to the next one. What they make must be what SCHEMA makes.
MIGRATIONS = {
    1: """
ALTER TABLE delivery RENAME TO delivery_1;
CREATE TABLE delivery (
    key TEXT NOT NULL,
    agent TEXT NOT NULL,
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    event TEXT NOT NULL,
    emitted REAL NOT NULL,
    attempts INTEGER NOT NULL,
    lease_until REAL NOT NULL,
    started REAL,
    finished REAL,
    error TEXT NOT NULL DEFAULT '',
    changed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, request, key)
) WITHOUT ROWID;
INSERT INTO delivery (key, agent, tenant, request, event, emitted, attempts, lease_until, started, finished, error)
    SELECT key, agent, tenant, request, event, emitted, attempts, lease_until, started, finished, error
    FROM delivery_1;
ALTER TABLE message ADD COLUMN request TEXT NOT NULL DEFAULT '';
UPDATE message SET request = delivery_1.request FROM delivery_1
    WHERE delivery_1.tenant = message.tenant
    AND delivery_1.key = substr(message.key, 1, instr(message.key, '#') - 1);
DROP TABLE delivery_1;
CREATE TABLE written (
    tenant TEXT NOT NULL,
    request TEXT NOT NULL,
    changed INTEGER NOT NULL,
    agent TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (tenant, request, changed)
) WITHOUT ROWID;
""",
    2: """
ALTER TABLE queue ADD COLUMN planversion TEXT NOT NULL DEFAULT '';
ALTER TABLE queue ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE request ADD COLUMN planversion TEXT NOT NULL DEFAULT '';
ALTER TABLE request ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE request ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stopped ADD COLUMN at REAL NOT NULL DEFAULT 0;
ALTER TABLE stopped ADD COLUMN who TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN redriven REAL;
ALTER TABLE dead_letter ADD COLUMN redriven_as TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
UPDATE queue SET planversion = coalesce(json_extract(CAST(envelope AS TEXT), '$.planversion'), '')
    WHERE json_valid(CAST(envelope AS TEXT));
UPDATE request SET planversion = coalesce(json_extract(CAST(envelope AS TEXT), '$.planversion'), '')
    WHERE json_valid(CAST(envelope AS TEXT));
"""
    + _ADDED_IN_3,
    3: _ADDED_IN_4,
}
