-- code is the SHA-256 of the authorization code, cookie that of the browser's cookie: a copy of the database signs nobody in.
CREATE TABLE authorization_codes (
  code       TEXT NOT NULL PRIMARY KEY,
  session    TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  expires_at BIGINT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE INDEX authorization_codes_session ON authorization_codes (session);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);
CREATE TABLE browsers (
  cookie     TEXT NOT NULL PRIMARY KEY,
  expires_at BIGINT NOT NULL,
  doc        TEXT NOT NULL
);
CREATE INDEX browsers_expiry ON browsers (expires_at);
