# A carrier on Net::SMPP, for one session: takes every message and sends a receipt for it.
# Usage: perl carrier.pl PORT
use strict;
use warnings;
use Net::SMPP;

my $listener = Net::SMPP->new_listen('127.0.0.1', port => $ARGV[0], timeout => 600) or die "listen: $!";
my $smpp = $listener->accept or die "accept: $!";
my $last = 0;
while (my $pdu = $smpp->read_pdu()) {
    if ($pdu->cmd == Net::SMPP::CMD_bind_transceiver) {
        $smpp->bind_transceiver_resp(seq => $pdu->seq, system_id => 'perl');
    } elsif ($pdu->cmd == Net::SMPP::CMD_enquire_link) {
        $smpp->enquire_link_resp(seq => $pdu->seq);
    } elsif ($pdu->cmd == Net::SMPP::CMD_unbind) {
        $smpp->unbind_resp(seq => $pdu->seq);
    } elsif ($pdu->cmd == Net::SMPP::CMD_submit_sm) {
        my $id = 'perl-' . ++$last;
        $smpp->submit_sm_resp(seq => $pdu->seq, message_id => $id);
        $smpp->deliver_sm(
            source_addr => $pdu->{destination_addr}, destination_addr => $pdu->{source_addr}, esm_class => 4, async => 1,
            short_message => "id:$id sub:001 dlvrd:001 submit date:2601010000 done date:2601010001"
                . ' stat:DELIVRD err:000 text:',
        );
    }
}
