-- Shows: messages given up in every place, politely or not, leave right counts
-- Listed: hard_bounce user@example.com
-- Counted: spring pass none 5
-- Counted: spring reject hard_bounce 3
-- Messages: spring 2
conn = connect()
-- after MAIL, twice in a row
mail(conn, "<a@x.test>", "ENVID=spring")
sent(mt.abort(conn))
sent(mt.abort(conn))
-- after RCPT
mail(conn, "<a@x.test>", "ENVID=spring")
accepted(conn, "<anna@example.com>")
refused(conn, "<user@example.com>")
sent(mt.abort(conn))
-- after DATA
mail(conn, "<a@x.test>", "ENVID=spring")
accepted(conn, "<anna@example.com>")
sent(mt.data(conn))
replied(conn, SMFIR_ACCEPT)
sent(mt.abort(conn))
-- no QUIT after MAIL, RCPT, DATA
mail(conn, "<a@x.test>", "ENVID=spring")
mt.disconnect(conn, false)
conn = connect()
mail(conn, "<a@x.test>", "ENVID=spring")
refused(conn, "<user@example.com>")
accepted(conn, "<anna@example.com>")
accepted(conn, "<ben@example.com>")
mt.disconnect(conn, false)
conn = connect()
mail(conn, "<a@x.test>", "ENVID=spring")
accepted(conn, "<anna@example.com>")
refused(conn, "<user@example.com>")
sent(mt.data(conn))
mt.disconnect(conn, false)
-- a connection and nothing more
conn = connect()
mt.disconnect(conn, false)
