-- Who does the work that one process at a time may do. beat rises while the holder lives; a new holder has a new epoch.
CREATE TABLE leases (
  name   TEXT NOT NULL PRIMARY KEY,
  holder TEXT NOT NULL,
  epoch  BIGINT NOT NULL,
  beat   BIGINT NOT NULL
);
