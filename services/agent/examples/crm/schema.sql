-- A CRM as many are: a customer with contacts, orders with their lines, notes that refer to a customer by
-- number only, and a search index that is filled beside the tables.
CREATE TABLE customers (
    id           integer PRIMARY KEY,
    customer_no  text NOT NULL UNIQUE,
    name         text,
    email        text,
    phone        text,
    segment      text,
    restricted   boolean NOT NULL DEFAULT false,
    erased_on    text                       -- of which the customer is told
);
CREATE TABLE orders (
    id           integer PRIMARY KEY,
    order_no     text NOT NULL UNIQUE,
    customer_no  text NOT NULL,
    event_source text NOT NULL,             -- whose event it was: another's may have the same id
    event_id     text NOT NULL,
    recipient    text,
    street       text,
    amount       integer NOT NULL,
    restricted   boolean NOT NULL DEFAULT false
);
CREATE TABLE order_lines (
    id           integer PRIMARY KEY,
    order_no     text NOT NULL REFERENCES orders (order_no),
    product      text NOT NULL,
    engraving    text
);
CREATE TABLE tickets (
    id           integer PRIMARY KEY,
    ticket_no    text NOT NULL UNIQUE,
    customer_no  text,
    event_source text NOT NULL,
    event_id     text NOT NULL,
    question     text,
    answer       text,
    minutes      integer
);
CREATE TABLE archived_tickets (             -- what the archive keeps of a ticket
    ticket_no    text NOT NULL UNIQUE,
    question     text,
    answer       text
);
CREATE VIEW order_search AS SELECT event_source, event_id, recipient, street FROM orders;
CREATE VIEW packing_slips AS SELECT order_no, product, engraving FROM order_lines;
