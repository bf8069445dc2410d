PRAGMA application_id = 1196441905;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE "click" (
        session_id TEXT NOT NULL UNIQUE,
        at_ms      INTEGER NOT NULL,
        body       TEXT NOT NULL
    );
INSERT INTO "click" VALUES('gp_a1b2c3',1767268800123,'{"at":"2026-01-01T12:00:00.123000+00:00","fbclid":"IwAR0aBcD_-e","fbc":"fb.1.1767268800123.IwAR0aBcD_-e","fbp":"fb.1.1767268800000.1098115397","ttclid":"E.C.P.xyz","ttp":"2ODUc3zZhXMkUjUsLfRhbdmOn6V","gclid":"Cj0KCQ","utm":{"utm_source":"tiktok","utm_campaign":"été 😀"},"ip":"2001:db8::1","user_agent":"Mozilla/5.0 (iPhone; \"quoted\")","url":"https://example.com/?utm_source=tiktok&b=%20#c","referrer":"https://example.org/"}');
CREATE TABLE delivery (
        seq         INTEGER NOT NULL REFERENCES event (seq),
        destination TEXT NOT NULL,
        state       TEXT NOT NULL DEFAULT 'pending',
        since_ms    INTEGER NOT NULL,
        due_ms      INTEGER NOT NULL,
        attempts    INTEGER NOT NULL DEFAULT 0,
        reason      TEXT,
        receipt     TEXT, maybe_delivered INTEGER NOT NULL DEFAULT 0, batch_cap INTEGER,
        PRIMARY KEY (seq, destination)
    ) WITHOUT ROWID;
INSERT INTO "delivery" VALUES(1,'a','pending',1767268800000,1767268800000,0,NULL,NULL,0,NULL);
INSERT INTO "delivery" VALUES(1,'b','pending',1767268800000,1767268800000,0,NULL,NULL,0,NULL);
INSERT INTO "delivery" VALUES(2,'a','delivered',1767268801000,1767268801000,0,NULL,'{"events_received": 1, "fbtrace_id": "A\u00e9"}',0,NULL);
INSERT INTO "delivery" VALUES(3,'a','dead',1767268801000,1767268801000,1,'HTTP 400: no',NULL,0,NULL);
INSERT INTO "delivery" VALUES(4,'a','dead',1767268801000,1767268801000,3,'over age, last: HTTP 500',NULL,1,NULL);
INSERT INTO "delivery" VALUES(5,'a','pending',1767268801000,1767268861000,2,'HTTP 500',NULL,1,NULL);
INSERT INTO "delivery" VALUES(6,'a','skipped',1767268801000,1767268801000,0,'no click',NULL,0,NULL);
CREATE TABLE "event" (
        seq          INTEGER PRIMARY KEY,
        event_id     TEXT NOT NULL,
        name         TEXT NOT NULL,
        telegram_id  INTEGER NOT NULL,
        bot_id       INTEGER,
        accepted_ms  INTEGER NOT NULL,
        order_digest BLOB,
        body         TEXT NOT NULL,
        UNIQUE (event_id, name)
    );
INSERT INTO "event" VALUES(1,'e-every','FTD',7,42,1767268800000,NULL,'{"event_id":"e-every","name":"FTD","event_time":"2026-01-01T12:00:00.123456+00:00","telegram_id":7,"bot_id":42,"session_id":"gp_a1b2c3","value":"49.90","currency":"EUR","user_data":{"plan":"gold","emoji":"\ud83c\udf89","half an emoji":"\ud83c","beyond 53 bits":9007199254740993,"huge":-1180591620717411303424,"nested":[{"b":[null,true,0.1]}]},"click":{"at":"2026-01-01T12:00:00.123000+00:00","fbclid":"IwAR0aBcD_-e","fbc":"fb.1.1767268800123.IwAR0aBcD_-e","fbp":"fb.1.1767268800000.1098115397","ttclid":"E.C.P.xyz","ttp":"2ODUc3zZhXMkUjUsLfRhbdmOn6V","gclid":"Cj0KCQ","utm":{"utm_source":"tiktok","utm_campaign":"\u00e9t\u00e9 \ud83d\ude00"},"ip":"2001:db8::1","user_agent":"Mozilla/5.0 (iPhone; \"quoted\")","url":"https://example.com/?utm_source=tiktok&b=%20#c","referrer":"https://example.org/"},"traits":{"meta":{"em":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"tiktok":{"ph":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}},"bot_username":"shop_bot"}');
INSERT INTO "event" VALUES(2,'e-0','REG',7,42,1767268801000,NULL,'{"event_id":"e-0","name":"REG","event_time":"2026-01-01T12:00:00+00:00","telegram_id":7,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}');
INSERT INTO "event" VALUES(3,'e-1','Purchase',7,42,1767268801000,X'CBA8301E1F7A988FB16972F37CAD4227','{"event_id":"e-1","name":"Purchase","event_time":"2026-01-01T12:00:00+00:00","telegram_id":7,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}');
INSERT INTO "event" VALUES(4,'e-2','REG',7,42,1767268801000,NULL,'{"event_id":"e-2","name":"REG","event_time":"2026-01-01T12:00:00+00:00","telegram_id":7,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}');
INSERT INTO "event" VALUES(5,'e-3','REG',8,42,1767268801000,NULL,'{"event_id":"e-3","name":"REG","event_time":"2026-01-01T12:00:00+00:00","telegram_id":8,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}');
INSERT INTO "event" VALUES(6,'e-4','Lead ✓',7,42,1767268801000,NULL,'{"event_id":"e-4","name":"Lead ✓","event_time":"2026-01-01T12:00:00+00:00","telegram_id":7,"bot_id":42,"session_id":null,"value":null,"currency":null,"user_data":{}}');
CREATE TABLE invite (
        link       TEXT PRIMARY KEY,
        session_id TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "invite" VALUES('https://t.me/+a','gp_a1b2c3');
CREATE TABLE seen (
        digest BLOB PRIMARY KEY,
        at_ms  INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "seen" VALUES(X'28BA7CB97469F9515E4DBF0672147AD3',1767268801000);
INSERT INTO "seen" VALUES(X'3755C104B9239A5A500DD765BF0AA4FC',1767268801000);
INSERT INTO "seen" VALUES(X'4ADBDB274DA77B7EA5AF7EEB93B9D0AF',1767268801000);
INSERT INTO "seen" VALUES(X'67CCB565C9E05455807E82C55E51D2CB',1767268801000);
INSERT INTO "seen" VALUES(X'8A4C4CFD3E0AB65732DA67C44D2FF558',1767268801000);
INSERT INTO "seen" VALUES(X'B72EDD33814705E4ED9E0FB1B2B836B8',1767268800000);
INSERT INTO "seen" VALUES(X'FE6E147EF0E41B2836C1C14DC6E00CF5',1767268801000);
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
    , legacy INTEGER NOT NULL DEFAULT 0);
INSERT INTO "store" VALUES(X'2289662113F6791E8B230A269AA1C27330CE630F75D7F85CD349DB2509595DBF',1,0);
CREATE TABLE tally (
        destination TEXT NOT NULL,
        state       TEXT NOT NULL,
        n           INTEGER NOT NULL,
        PRIMARY KEY (destination, state)
    ) WITHOUT ROWID;
INSERT INTO "tally" VALUES('a','dead',2);
INSERT INTO "tally" VALUES('a','delivered',1);
INSERT INTO "tally" VALUES('a','pending',2);
INSERT INTO "tally" VALUES('a','skipped',1);
INSERT INTO "tally" VALUES('b','pending',1);
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
CREATE INDEX delivery_dead ON delivery (seq, destination) WHERE state = 'dead';
CREATE INDEX invite_of_session ON invite (session_id);
CREATE INDEX event_of_user ON event (telegram_id, seq);
CREATE INDEX event_of_order ON event (order_digest) WHERE order_digest IS NOT NULL;
CREATE INDEX delivery_due ON delivery (destination, due_ms, seq)
        WHERE state = 'pending' AND batch_cap IS NULL;
CREATE INDEX delivery_capped ON delivery (destination, due_ms, seq)
        WHERE state = 'pending' AND batch_cap IS NOT NULL;
CREATE INDEX delivery_dead_of ON delivery (destination, seq) WHERE state = 'dead';
CREATE INDEX session_of_click ON session (session_id);
CREATE INDEX session_age ON session (at_ms);
CREATE INDEX click_age ON click (at_ms);
COMMIT;
