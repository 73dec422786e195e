CREATE TABLE users (
	id VARCHAR NOT NULL,
	system VARCHAR NOT NULL,
	login VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	email VARCHAR,
	password_hash VARCHAR,
	tier VARCHAR NOT NULL,
	created FLOAT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT users_login UNIQUE (system, login)
);
CREATE TABLE counters (
	credential VARCHAR NOT NULL,
	period VARCHAR NOT NULL,
	count INTEGER NOT NULL,
	PRIMARY KEY (credential, period),
	CONSTRAINT counters_not_negative CHECK (count >= 0)
);
CREATE TABLE conversations (
	id VARCHAR NOT NULL,
	system VARCHAR NOT NULL,
	owner VARCHAR NOT NULL,
	"key" VARCHAR NOT NULL,
	title VARCHAR,
	created FLOAT NOT NULL,
	updated FLOAT NOT NULL,
	message_count INTEGER NOT NULL,
	meta TEXT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT conversations_key UNIQUE (system, owner, "key")
);
CREATE INDEX conversations_newest ON conversations (system, owner, updated);
CREATE TABLE credentials (
	id VARCHAR NOT NULL,
	system VARCHAR NOT NULL,
	kind VARCHAR NOT NULL,
	user_id VARCHAR NOT NULL,
	prefix VARCHAR NOT NULL,
	hash VARCHAR NOT NULL,
	tier VARCHAR NOT NULL,
	created FLOAT NOT NULL,
	expires FLOAT,
	revoked FLOAT,
	family VARCHAR,
	used FLOAT,
	label VARCHAR,
	PRIMARY KEY (id),
	FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_credentials_prefix ON credentials (prefix);
CREATE INDEX ix_credentials_user_id ON credentials (user_id);
CREATE INDEX ix_credentials_family ON credentials (family);
CREATE TABLE messages (
	place INTEGER NOT NULL,
	id VARCHAR NOT NULL,
	conversation VARCHAR NOT NULL,
	role VARCHAR NOT NULL,
	text TEXT NOT NULL,
	created FLOAT NOT NULL,
	run VARCHAR,
	sources TEXT,
	outcome VARCHAR,
	prompt_tokens INTEGER,
	completion_tokens INTEGER,
	usage_origin VARCHAR,
	model VARCHAR,
	PRIMARY KEY (place),
	UNIQUE (id),
	FOREIGN KEY(conversation) REFERENCES conversations (id) ON DELETE CASCADE
);
CREATE INDEX messages_of ON messages (conversation, place);
PRAGMA user_version = 1;
