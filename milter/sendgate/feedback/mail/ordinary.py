"""Tell mail that looks like a report of a failed delivery, and speaks of something else.

In: a message and its report; neither a program's fields nor our own returned message are in it. Out: yes or no.
Nothing is refused.

    to its reader      quota, password and account notices, quarantines and parcels, and who imitates them to steal
    about many         summaries, digests, statistics, notices to the owners of lists: no delivery of ours
    by a person        an automatic reply that says so in its text alone, a ticket system, a postmaster who writes
Words of an SMTP session take back what the words alone would tell: a server's answer may say all of this.
"""

from __future__ import annotations

import re

from sendgate.feedback.mail.addresses import first_address, spelling
from sendgate.feedback.mail.autoreply import Kind, kind_of
from sendgate.feedback.mail.mime import EMBEDDED_TYPES, Message
from sendgate.feedback.mail.phrases import SUBJECT, Phrases, fold
from sendgate.feedback.mail.report import Report
from sendgate.feedback.pattern import compile_pattern

_OPENING = 1500
_FIRST_SENTENCES = 400
_GREETS = 80
_SESSION = re.compile(
    r"\brcpt to\b|\bsaid:|\bin reply to\b|<<<|>>>|\bremote (?:host|server|mta|system)\b|\bsmtp error\b|\bsmtp;"
    r"|\bdiagn[oó]s|диагност|診断情報|诊断信息|診斷資訊|\btranscript\b|\breporting-mta\b"
    r"|\bserver (?:responded|returned|replied)"
    r"|\bresponse (?:was|from)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"(?<![\d.])[45]\d\d(?![\d.@]|\.\d)[ -]{0,3}|(?<![\d.])[45]\.\d\.\d{1,3}(?![\d.])")
_LINK = re.compile(r"<a\s[^<>]{0,200}href\s?=[\"'\s]{0,2}https?:", re.IGNORECASE)
_DAEMON_PATH = re.compile(r"daemon|^<?>?$", re.IGNORECASE)


def _phrases(*patterns: str) -> Phrases:
    return Phrases([compile_pattern(pattern) for pattern in patterns])


# What is the reader's own: no report of a failure speaks of it.
_READERS = _phrases(
    r"\byour( \d+)?( new| old| own| personal| business| office| company| mail| e-?mail)? ?(mail ?box|e-?mail ?box|inbox"
    r"|password|quota|storage|profile|parcel|package|shipment|order|payment|transaction|subscription|membership|phone"
    r"|device|subscribers)\b",
    r"\byour( \S{3,99})?( new| old| own| mail| e-?mail| user| web ?mail| office 365| microsoft)? account\b",
    r"\b(your|\d{1,4}|some|several|few|all|new) (incoming|pending|held|quarantined) (e-?mail|mail|message)",
    r"\b(undelivered|unread|blocked|withheld) (mails|e-?mails|messages)\b",
    r"\bmessages? .{0,20}(on hold|in quarantine|for you to review)",
    r"\b(almost|nearly) full\b",
    r"\b(addressed|sent|message|mail|e-?mail) (to|for) you\b",
    r"\byou( \S{3,80})? (have )?received (a|an|\d{1,4}|some|several) ",
    r"\bforwarding (of|for|from|to|was|is|has)\b.{0,80}(disabled|deactivated|stopped|failed|suspended|paused)",
    r"\byou (can|will) (no longer|not) (be able to )?(send or )?receive",
    r"\b(release|recover|retrieve|restore|rescue) .{0,20}(mail|message|account|e-?mail)",
    r"\b(upgrade|validate|re-?activate|verify) (now|here|your)\b",
    r"\b(tracking number|sendungsnummer|numero de suivi|codigo de rastreo)\b",
    r"\b(ihr|dein)(e|em|en|es|er)? .{0,20}(postfach|mailbox|konto|passwort|kennwort|paket|sendung|bestellung)",
    r"\b(votre|ta|ton) (boite|compte|mot de passe|colis|commande|messagerie)\b",
    r"\b(su|tu) (buzon|cuenta|contrasena|paquete|pedido|envio)\b",
    r"\b(sua|seu|tua|teu) (caixa|conta|senha|encomenda|pedido|pacote)\b",
    r"\b(la|il) (tua|sua|tuo|suo|vostra) (casella|account|password|pacco|spedizione|ordine)\b",
    r"\b(uw|je) (postvak|mailbox|account|wachtwoord|pakket)\b",
    r"\b(twoja|twoje|twoj) (skrzynk|konto|haslo|paczk|przesylk)",
    r"\bваш(а|у|ей|ем|его|е)? (почтов\w{1,4} ящик|ящик|аккаунт|учетн|парол|посылк|заказ)",
    r"(あなた|お客様)の(メールボックス|アカウント|パスワード|お荷物|荷物)",
    r"お荷物",
    r"[您你]的(邮箱|郵箱|帐户|账户|賬戶|帳戶|密码|密碼|包裹|账号|帳號|快递)",
)
# The same in a subject, where an answer of a server does not stand.
_READERS_SUBJECT = _phrases(
    r"\byour (e-?mail address|card|invoice|bank|tickets?|request|appointment|booking)\b",
    r"\b(virus|malware|infected|trojan)\b",
    r"\b(password|passwort|kennwort|contrasena|senha|mot de passe)\b",
    r"\b(action|verification|confirmation) (is )?(required|needed)\b",
    r"\b(parcel|package|shipment|paket|sendung|colis|paquete|encomenda|pacco|посылк)",
)
# What is about many deliveries, or about a list.
_MANY = _phrases(
    r"\b(summar(y|ies)|digest|statisti\w{1,5}|log ?watch|newsletter|webinar|dashboard|audit|analytics)\b",
    r"\b(daily|weekly|monthly|hourly|nightly|yesterday|today)\b",
    r"\b(bounce|delivery error|deliverability|monitoring|campaign|rejection|bounced) .{0,12}"
    r"(action|score|reports?|rates?|statistics|monitoring|analysis)\b",
    r"\breport (for|domain)\b",
    r"\bquarantin",
    r"\b(cron\b|majordomo results|output of your job|results of your)",
    r"\b(bounced|bouncing|removed|unsubscribed) (members?|contacts?|subscribers?|users)\b|\bmailq\b",
    r"\b(probe|moderat|approval|subscribe|subscription|membership)",
    r"\b(zusammenfassung|tagesbericht|wochenbericht|statistik|resume (quotidien|hebdo)|resumen (diario|semanal))",
)
# What other reports are called.
_OTHER_REPORTS = _phrases(
    r"\b(dmarc|dkim|spf|arf|tls|smtp-tls|auth\w{0,12}|abuse|aggregate|forensic) (\w{0,14} )?(failure )?reports?\b",
)
# How letters begin and end; few programs do both, and those speak of our message.
_GREETING = _phrases(
    r"^\W{0,3}(hello|hi|dear|good (morning|day|afternoon)|hallo|guten (tag|morgen)|sehr geehrte\w?|liebe\w?|moin"
    r"|bonjour|madame|monsieur|cher|hola|buen\w{1,2} dias|estimad\w{1,2}|ola|prezad\w{1,2}|bom dia|ciao|buongiorno"
    r"|gentile|beste|geachte|szanown\w{1,3}|dobry|hej|уважаем\w{2}|здравствуйте|добрый)\b",
)
_CLOSING = _phrases(
    r"\b(best|kind|warm|many|with)? regards\b|\b(sincerely|faithfully|cheers)\b",
    r"\b(mit|viele|beste|liebe|schone) (freundliche\w?|besten?|liebe\w?)? ?gru(ss|sse|ssen)\b|\bmfg\b|\bgruss\b",
    r"\b(cordialement|salutations|saludos|atentamente|atenciosamente|abracos|saluti|groet\w{0,3}|pozdraw\w{1,6}|halsning\w{0,3})",
    r"с уважением",
)
# How ticket systems begin, whatever they pass on.
_TICKET = _phrases(
    r"\b(type|write|enter) your (reply|answer) above",
    r"\byour (request|ticket|case|inquiry|enquiry|report)\b.{0,40}(updated|received|created|closed|solved|assigned)",
    r"\b(ticket|case|request)\b.{0,30}(was|has been|is) (created|opened|received|updated|assigned|closed)",
    r"\b(ticket|case|anfrage|vorgang) .{0,40}(aktualisiert|eroffnet|erstellt|geschlossen)",
)
# A sentence of a mail system about the message that came to it: the rest may quote what we wrote.
_YOURS = _phrases(
    r"\b(your|the|this|a)\b( \w{1,12})? (message|mail|e-?mail)\b.{0,100}"
    r"(not|n.t|fail|reject|return|undeliver|refus|block|stopp|discard|considered|quarantin)",
    r"(\bnot|n.t|\bunable|\bfail\w{0,3}|\bimpossible)( been)? (able )?(to )?(deliver|send|transmit|relay)\w{0,3} "
    r"(your|the|this|a|following|message|mail|e-?mail)",
    r"\b(ihre|deine|die) (nachricht|e-?mail|mail)\b.{0,100}(nicht|unzustell|abgewiesen|abgelehnt)",
    r"\b(votre|le) (message|courriel|e-?mail|mail)\b.{0,100}(n.a pas|n.ont pas|pas pu|refus|rejet)",
    r"\b(su|tu|el|sua|seu|o|a) (mensaje|correo|mensagem|e-?mail)\b.{0,100}(no |nao |rechaz|rejeit|devuel|devolv)",
    r"\b(il|tuo|suo) (messaggio|e-?mail)\b.{0,100}(non |rifiut|respint)",
    r"(письмо|сообщение).{0,100}(не |отклон|возвра)",
    r"(メール|メッセージ).{0,60}(ませんでした|できません|エラー)",
    r"(邮件|郵件|信件).{0,60}(无法|無法|失败|失敗|退回|被拒)",
)
# A sentence that goes before a list of recipients.
_LISTING = _phrases(
    r"\b(delivery|message|mail)\b.{0,30}(to|for) (the )?(following|these|this|one or more)\b",
    r"\b(following|these|this) (\w{1,14} )?(address|recipient|user)\w{0,2}\b.{0,40}(not|n.t|fail|error|reject|problem)",
    r"\bundeliverable to\b",
    r"\b(seguintes|siguientes|seguenti|folgende\w{0,2}|volgende|nastepujac\w{1,3}|nasledujic\w{1,3}|foljande) "
    r"(destinat|empfang|adres|indirizz|ontvanger|geadresseer|odbiorc|prijemc|mottagar|endereco|direccion|usuario|modtager)",
    r"\bdestinat\w{2,6}( \w{1,14})? suivant",
    r"следующ\w{2,3} (получател|адрес|пользоват)",
    r"(下列|以下|次の).{0,12}(收件|地址|宛先|受信者|アドレス|あて先)",
    r"다음.{0,10}(수신|주소)",
)
_QUOTED_SUBJECT = re.compile(
    r"^[ \t>*]{0,8}(?:subject|betreff|objet|asunto|assunto|oggetto|件名|тема|主题)\s?[:：].*",
    re.IGNORECASE | re.MULTILINE,
)
# What one who is away, or left, or a ticket system writes.
_REPLY = _phrases(
    r"\b(no longer|not) (work|employ|with (the|our|us|this) (company|firm|organi))",
    r"\b(has|have) (left|retired|resigned|moved on|changed jobs)\b",
    r"\b(out of|away from) (the|my) (office|desk|mail)",
    r"\bi am (currently |now )?(away|out|on (leave|holiday|vacation|maternity))",
    r"\bi (no longer|do not|will not) (work|read|check|use|be)",
    r"\bmy (new )?(e-?mail )?address (has|is)\b",
    r"\b(this|the|my) (mail ?box|inbox|e-?mail address|address) is (not|no longer|rarely) (being )?"
    r"(monitored|read|checked|attended)",
    r"\bthank(s| you) (very much )?for (contacting|writing"
    r"|your (e-?mail|message|mail|interest|inquiry|enquiry|report))",
    r"\b(ticket|case|request|reference) ?(number|no\.?|id|#)",
    r"\byour (request|ticket|case|inquiry|enquiry|report) .{0,40}(has been|was|is being|will be)",
    r"\b(type|write) your reply above",
    r"\bnicht (langer|mehr) .{0,60}(tatig|beschaftigt|im unternehmen|arbeite|bei uns|in der firma)",
    r"\b(ausgeschieden|nicht im (buro|haus)|im urlaub|mutterschutz|elternzeit|abwesend)\b",
    r"\b(diese|dieses|meine) .{0,20}(postfach|adresse|mailbox) wird (nicht|kaum|nur)",
    r"\b(vielen|herzlichen|besten) dank fur (ihre|deine|die) ",
    r"\bne (travaill|fai[ts]|suis|sera)\w{0,4} plus\b",
    r"\b(absent|en conge|hors du bureau)\b",
    r"\bmerci (de|pour) (votre|ton|nous) ",
    r"\bya no (trabaj|labor|formo|forma)",
    r"\bgracias por (su|tu|contactar|escribir)",
    r"\bnao (trabalh|faz|faco|atu)\w{0,3} mais\b",
    r"\bobrigad[oa] (por|pelo|pela)\b",
    r"\bnon (lavor\w{1,4}|fa\w{0,4}|opera\w{0,2}) piu\b",
    r"\bgrazie (per|di) (il|la|aver|l.)",
    r"\bniet (langer|meer) .{0,30}(werkzaam|in dienst|werk)",
    r"\b(bedankt|dank) voor (uw|je) ",
    r"\b(nie pracuj|juz nie pracuj|dziekuj\w{1,4} za (wiadomosc|kontakt))",
    r"\b(inte langre|ikke lengere|ikke lenger|ikke laengere) (kvar|ansat|ansatt|jobb|arbet)",
    r"больше не работа",
    r"\b(не работа(ю|ет) (больше|в компании)|уволил|в отпуске|спасибо за (ваше|обращение|письмо))",
    r"(退職|退社|異動|休暇|不在にし|担当が変わ|お問い合わせ(いただき|ありがとう)|ご連絡(いただき|ありがとう))",
    r"(离职|離職|休假|出差|外出|感谢您的(来信|邮件|来电|咨询)|我已)",
    r"(퇴사|휴가|부재|문의해 ?주셔서)",
)


def is_other_report(message: Message) -> bool:
    """Whether a message reports on something else than deliveries, in its type or by its name."""
    kind = message.parameters.get("report-type", "").lower()
    if kind and "deliver" not in kind:
        return True
    return _OTHER_REPORTS.are_in(fold(message.headers.decoded("subject")[:300]))


def is_ordinary(message: Message, report: Report) -> bool:
    """Whether a message in free text speaks of something else than a delivery that failed."""
    subject = _own_subject(message)
    opening = fold(_QUOTED_SUBJECT.sub("", report.text.lstrip()[:_OPENING]))
    if _MANY.are_in(subject) or _TICKET.are_in(opening[:400]):
        return True
    if _is_letter(opening) and (kind_of(message) is Kind.ANSWER or not _is_yours(opening)):
        return True
    if _SESSION.search(report.text):
        return False
    if _READERS_SUBJECT.are_in(subject) or _READERS.are_in(subject):
        return True
    if _READERS.are_in(opening) and not (SUBJECT.are_in(subject) and _is_yours(opening)):
        return True
    if _CODE.search(opening):
        return False
    if _REPLY.are_in(opening):
        return True
    if returns_any(message, report) or _is_yours(opening):
        return False
    return _is_page_with_links(message) or ("://" in report.text and not speaks_of_ours(report))


def _is_letter(opening: str) -> bool:
    return _GREETING.are_in(opening[:_GREETS]) and _CLOSING.are_in(opening)


def _is_yours(opening: str) -> bool:
    return _YOURS.are_in(opening[:_FIRST_SENTENCES])


def _own_subject(message: Message) -> str:
    """A subject without that of our message, which many a mail system puts behind words of its own."""
    subject = fold(message.headers.decoded("subject")[:300])
    words = subject.partition(":")[0]
    return words if SUBJECT.are_in(words) else subject


def is_of_own_account(message: Message) -> bool:
    """Whether the author gives itself as envelope sender, as people do and mail systems do not."""
    path = spelling(first_address(message.headers.get("return-path")))
    if not path or _DAEMON_PATH.search(path):
        return False
    return path == spelling(first_address(message.headers.get("from")))


def returns_any(message: Message, report: Report) -> bool:
    """Whether the header of another message comes with it."""
    original = report.original
    return bool(original.senders or original.recipients) or any(part.type in EMBEDDED_TYPES for part in message.parts)


def speaks_of_ours(report: Report) -> bool:
    """Whether the words tell of a session, or that "your message" did not arrive."""
    opening = fold(report.text.lstrip()[:_OPENING])
    return bool(_SESSION.search(report.text)) or _YOURS.are_in(opening) or _LISTING.are_in(opening)


def _is_page_with_links(message: Message) -> bool:
    """Whether it is a page with links alone."""
    texts = [part for part in message.parts if part.type.startswith("text/") and not part.embedded]
    plain = any(part.type == "text/plain" and part.text.strip() for part in texts)
    return not plain and any(_LINK.search(part.text) for part in texts)
