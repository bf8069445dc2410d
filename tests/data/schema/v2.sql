PRAGMA application_id = 1196441905;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE click (
        session_id TEXT PRIMARY KEY,
        at_ms      INTEGER NOT NULL,
        body       TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "click" VALUES('gp_a1b2c3',1767268800123,'{"at": "2026-01-01T12:00:00.123000+00:00", "fbclid": "IwAR0aBcD_-e", "fbc": "fb.1.1767268800123.IwAR0aBcD_-e", "fbp": "fb.1.1767268800000.1098115397", "ttclid": "E.C.P.xyz", "ttp": "2ODUc3zZhXMkUjUsLfRhbdmOn6V", "gclid": "Cj0KCQ", "utm": {"utm_source": "tiktok", "utm_campaign": "\u00e9t\u00e9 \ud83d\ude00"}, "ip": "2001:db8::1", "user_agent": "Mozilla/5.0 (iPhone; \"quoted\")", "url": "https://example.com/?utm_source=tiktok&b=%20#c", "referrer": "https://example.org/"}');
CREATE TABLE delivery (
        seq         INTEGER NOT NULL REFERENCES event (seq),
        destination TEXT NOT NULL,
        state       TEXT NOT NULL DEFAULT 'pending',
        since_ms    INTEGER NOT NULL,
        due_ms      INTEGER NOT NULL,
        attempts    INTEGER NOT NULL DEFAULT 0,
        reason      TEXT,
        receipt     TEXT,
        PRIMARY KEY (seq, destination)
    ) WITHOUT ROWID;
INSERT INTO "delivery" VALUES(1,'a','pending',1767268800000,1767268800000,0,NULL,NULL);
INSERT INTO "delivery" VALUES(1,'b','pending',1767268800000,1767268800000,0,NULL,NULL);
INSERT INTO "delivery" VALUES(2,'a','delivered',1767268801000,1767268801000,0,NULL,'{"events_received": 1, "fbtrace_id": "A\u00e9"}');
INSERT INTO "delivery" VALUES(3,'a','dead',1767268801000,1767268801000,1,'HTTP 400: no',NULL);
INSERT INTO "delivery" VALUES(4,'a','dead',1767268801000,1767268801000,3,'over age, last: may have been taken: HTTP 500',NULL);
INSERT INTO "delivery" VALUES(5,'a','pending',1767268801000,1767268861000,2,'may have been taken: HTTP 500',NULL);
INSERT INTO "delivery" VALUES(6,'a','skipped',1767268801000,1767268801000,0,'no click',NULL);
CREATE TABLE event (
        seq         INTEGER PRIMARY KEY,
        event_id    TEXT NOT NULL UNIQUE,
        telegram_id INTEGER NOT NULL,
        bot_id      INTEGER,
        accepted_ms INTEGER NOT NULL,
        body        TEXT NOT NULL
    , order_digest BLOB);
INSERT INTO "event" VALUES(1,'e-every',7,42,1767268800000,'{"event_id":"e-every","name":"FTD","event_time":"2026-01-01T12:00:00.123456+00:00","telegram_id":7,"bot_id":42,"session_id":"gp_a1b2c3","value":"49.90","currency":"EUR","user_data":{"plan":"gold","emoji":"\ud83c\udf89","half an emoji":"\ud83c","beyond 53 bits":9007199254740993,"huge":-1180591620717411303424,"nested":[{"b":[null,true,0.1]}]},"click":{"at":"2026-01-01T12:00:00.123000+00:00","fbclid":"IwAR0aBcD_-e","fbc":"fb.1.1767268800123.IwAR0aBcD_-e","fbp":"fb.1.1767268800000.1098115397","ttclid":"E.C.P.xyz","ttp":"2ODUc3zZhXMkUjUsLfRhbdmOn6V","gclid":"Cj0KCQ","utm":{"utm_source":"tiktok","utm_campaign":"\u00e9t\u00e9 \ud83d\ude00"},"ip":"2001:db8::1","user_agent":"Mozilla/5.0 (iPhone; \"quoted\")","url":"https://example.com/?utm_source=tiktok&b=%20#c","referrer":"https://example.org/"},"traits":{"meta":{"em":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"tiktok":{"ph":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}},"bot_username":"shop_bot"}',NULL);
INSERT INTO "event" VALUES(2,'e-0',7,42,1767268801000,'{"event_id":"e-0","name":"REG","event_time":"2026-01-01T12:00:00+00:00","telegram_id":7,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}',NULL);
INSERT INTO "event" VALUES(3,'e-1',7,42,1767268801000,'{"event_id":"e-1","name":"Purchase","event_time":"2026-01-01T12:00:00+00:00","telegram_id":7,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}',X'55B301555AB2045D94523C80D28F1312');
INSERT INTO "event" VALUES(4,'e-2',7,42,1767268801000,'{"event_id":"e-2","name":"REG","event_time":"2026-01-01T12:00:00+00:00","telegram_id":7,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}',NULL);
INSERT INTO "event" VALUES(5,'e-3',8,42,1767268801000,'{"event_id":"e-3","name":"REG","event_time":"2026-01-01T12:00:00+00:00","telegram_id":8,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}',NULL);
INSERT INTO "event" VALUES(6,'e-4',7,42,1767268801000,'{"event_id":"e-4","name":"Lead \u2713","event_time":"2026-01-01T12:00:00+00:00","telegram_id":7,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}',NULL);
CREATE TABLE invite (
        link       TEXT PRIMARY KEY,
        session_id TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "invite" VALUES('https://t.me/+a','gp_a1b2c3');
CREATE TABLE seen (
        digest BLOB PRIMARY KEY,
        at_ms  INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "seen" VALUES(X'0265925E18F3F235D12EF8C6902097E2',1767268801000);
INSERT INTO "seen" VALUES(X'1E5CACCB5D946AE88EE6186D37F7B01B',1767268801000);
INSERT INTO "seen" VALUES(X'8E197ACBD9EDBFFBCF3F2128BEAF9B4B',1767268800000);
INSERT INTO "seen" VALUES(X'946AF0B726184849A801DFABFFB0DA75',1767268801000);
INSERT INTO "seen" VALUES(X'D5711D225498AD12C231C1448020C789',1767268801000);
INSERT INTO "seen" VALUES(X'E838CFEDC807DBAE2E28FEBE86FC2C05',1767268801000);
INSERT INTO "seen" VALUES(X'F2C605AD989B7438899A42E345AF1812',1767268801000);
INSERT INTO "seen" VALUES(X'FF6F8F88162CA2C6CB55E9547B236EB8',1767268801000);
CREATE TABLE session (
        telegram_id INTEGER NOT NULL,
        bot_id      INTEGER,
        at_ms       INTEGER NOT NULL,
        session_id  TEXT NOT NULL,
        source      TEXT NOT NULL,
        payload     TEXT NOT NULL
    );
INSERT INTO "session" VALUES(7,42,1767265200000,'gp_a1b2c3','start','gp_a1b2c3__ref42');
INSERT INTO "session" VALUES(7,NULL,1767261600000,'gp_d4e5f6','manual','gp_d4e5f6');
CREATE TABLE store (
        salt   BLOB NOT NULL,
        erased INTEGER NOT NULL DEFAULT 0
    );
INSERT INTO "store" VALUES(X'589A5043453DACA056FE5DA0653A0FC15562C7AEFA1311CB6566A4D371DD2F81',1);
CREATE TABLE trait (
        telegram_id INTEGER NOT NULL,
        platform    TEXT NOT NULL,
        field       TEXT NOT NULL,
        value       TEXT NOT NULL,
        PRIMARY KEY (telegram_id, platform, field)
    ) WITHOUT ROWID;
INSERT INTO "trait" VALUES(7,'leadsail','lead_id','lead_1');
INSERT INTO "trait" VALUES(7,'meta','em','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
CREATE UNIQUE INDEX session_touch
        ON session (telegram_id, at_ms, session_id, coalesce(bot_id, 0));
CREATE INDEX event_of_user ON event (telegram_id, seq);
CREATE INDEX delivery_due ON delivery (destination, due_ms, seq) WHERE state = 'pending';
CREATE INDEX delivery_dead ON delivery (seq, destination) WHERE state = 'dead';
CREATE INDEX event_of_order ON event (order_digest) WHERE order_digest IS NOT NULL;
CREATE INDEX invite_of_session ON invite (session_id);
COMMIT;
